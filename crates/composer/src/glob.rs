//! Symfony's glob patterns (`Finder\Glob::toRegex`) as Composer's exclude rules use them.
//!
//! Patterns and paths come from strangers, so a pattern is compiled to a small automaton and run over the path in
//! one pass: no pattern can make it slow. Inside `[…]` only characters, ranges and escapes are understood.

/// One step of the automaton.
#[derive(Debug, Clone)]
enum Step {
    /// This byte.
    Byte(u8),
    /// Any byte but `/`.
    Any,
    /// A byte of the set: one bit for each.
    Class(Box<[u64; 4]>),
    /// Takes nothing: there is a next byte, and it is no dot.
    NoDot,
    /// Takes nothing: go on at either place.
    Fork(usize, usize),
    /// Takes nothing: go on there.
    Jump(usize),
}

/// How much longer it takes to go on with one place of a pattern than to pass a byte of a path.
const ACTIVE_STEP_WORK: usize = 3;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    steps: Vec<Step>,
    anchored: bool,
}

impl Glob {
    /// Compiles `prefix` (literal) followed by `glob`; `anchored` patterns start where the path starts.
    pub(crate) fn compile(prefix: &str, glob: &str, anchored: bool) -> Self {
        let mut compiler = Compiler::default();
        compiler.steps.extend(prefix.bytes().map(Step::Byte));
        compiler.compile(glob.as_bytes());
        Self { steps: compiler.steps, anchored }
    }

    /// Whether the pattern matches some part of the path that ends at the end or before a `/`. Before each byte `spend` is
    /// told how many steps are compared with it, and may put an end to it.
    pub(crate) fn applies_to<E>(&self, path: &str, spend: &mut impl FnMut(usize) -> Result<(), E>) -> Result<bool, E> {
        let bytes = path.as_bytes();
        spend(self.steps.len())?;
        let mut active = Places::new(self.steps.len() + 1);
        let mut next = Places::new(self.steps.len() + 1);
        for at in 0..=bytes.len() {
            let byte = bytes.get(at).copied();
            if (at == 0 || !self.anchored) && self.may_begin_with(byte) {
                self.enter(0, byte, &mut active);
            }
            if active.is_marked[self.steps.len()] && byte.is_none_or(|byte| byte == b'/') {
                return Ok(true);
            }
            let Some(byte) = byte.filter(|_| !self.anchored || !active.list.is_empty()) else {
                return Ok(false);
            };
            spend(1 + active.list.len() * ACTIVE_STEP_WORK)?;
            for &index in &active.list {
                let taken = match self.steps.get(index) {
                    Some(Step::Byte(wanted)) => byte == *wanted,
                    Some(Step::Any) => byte != b'/',
                    Some(Step::Class(set)) => set[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0,
                    Some(Step::NoDot | Step::Fork(..) | Step::Jump(_)) | None => false,
                };
                if taken {
                    self.enter(index + 1, bytes.get(at + 1).copied(), &mut next);
                }
            }
            active.clear();
            std::mem::swap(&mut active, &mut next);
        }
        Ok(false)
    }

    /// Whether what begins with `byte` may match; `None` is the end of the path. As a rule most bytes of a path are no beginning.
    fn may_begin_with(&self, byte: Option<u8>) -> bool {
        match self.steps.first() {
            Some(Step::Byte(wanted)) => byte == Some(*wanted),
            _ => true,
        }
    }

    /// Marks `index` and every place reachable from it without taking a byte; `byte` is the next one.
    fn enter(&self, index: usize, byte: Option<u8>, places: &mut Places) {
        let mut at = places.list.len();
        places.mark(index);
        while let Some(&index) = places.list.get(at) {
            match self.steps.get(index) {
                Some(Step::NoDot) if byte.is_some_and(|byte| byte != b'.') => {
                    places.mark(index + 1);
                }
                Some(Step::Fork(first, second)) => {
                    places.mark(*first);
                    places.mark(*second);
                }
                Some(Step::Jump(target)) => places.mark(*target),
                _ => {}
            }
            at += 1;
        }
    }
}

/// A set of places in a pattern, as a list and as marks.
struct Places {
    list: Vec<usize>,
    is_marked: Vec<bool>,
}

impl Places {
    fn new(count: usize) -> Self {
        Self { list: Vec::new(), is_marked: vec![false; count] }
    }

    fn mark(&mut self, place: usize) {
        if !std::mem::replace(&mut self.is_marked[place], true) {
            self.list.push(place);
        }
    }

    fn clear(&mut self) {
        for place in self.list.drain(..) {
            self.is_marked[place] = false;
        }
    }
}

/// An open `{`: where it forked, and the jumps to its end.
#[derive(Debug)]
struct Curly {
    fork: usize,
    exits: Vec<usize>,
}

#[derive(Debug, Default)]
struct Compiler {
    steps: Vec<Step>,
    open: Vec<Curly>,
}

impl Compiler {
    fn compile(&mut self, glob: &[u8]) {
        let mut at = 0;
        let mut first_of_name = true;
        while let Some(&byte) = glob.get(at) {
            if first_of_name && byte != b'.' {
                self.steps.push(Step::NoDot);
            }
            first_of_name = byte == b'/';
            at += match &glob[at..] {
                [b'/', b'*', b'*'] => self.any_directories(3),
                [b'/', b'*', b'*', b'/', ..] => self.any_directories(4),
                [b'\\', escaped, ..] => self.push(Step::Byte(*escaped), 2),
                [b'*', ..] => self.star(),
                [b'?', ..] => self.push(Step::Any, 1),
                [b'{', ..] => self.open_curly(),
                [b',', ..] if !self.open.is_empty() => self.next_alternative(),
                [b'}', ..] if !self.open.is_empty() => self.close_curly(),
                [b'[', rest @ ..] => self.class(rest),
                _ => self.push(Step::Byte(byte), 1),
            };
        }
        // The reference's regular expression would not compile, and a rule that does not compile applies to nothing.
        if !self.open.is_empty() {
            self.steps = vec![Step::Class(Box::default())];
        }
    }

    fn push(&mut self, step: Step, width: usize) -> usize {
        self.steps.push(step);
        width
    }

    /// `[^/]*`
    fn star(&mut self) -> usize {
        let fork = self.steps.len();
        self.steps.extend([Step::Fork(fork + 1, fork + 3), Step::Any, Step::Jump(fork)]);
        1
    }

    /// `/(?:(?=[^\.])[^/]+/)*`, and with the last slash optional at the end of the pattern.
    fn any_directories(&mut self, width: usize) -> usize {
        let at_end = width == 3;
        self.steps.push(Step::Byte(b'/'));
        let fork = self.steps.len();
        self.steps.extend([Step::Fork(fork + 1, fork + 7), Step::NoDot, Step::Any, Step::Fork(fork + 2, fork + 4)]);
        let optional = if at_end { Step::Fork(fork + 5, fork + 6) } else { Step::Jump(fork + 5) };
        self.steps.extend([optional, Step::Byte(b'/'), Step::Jump(fork)]);
        width
    }

    fn open_curly(&mut self) -> usize {
        self.open.push(Curly { fork: self.steps.len(), exits: Vec::new() });
        // Both targets are this alternative until a comma says where the next one starts.
        self.push(Step::Jump(self.steps.len() + 1), 1)
    }

    fn next_alternative(&mut self) -> usize {
        let here = self.steps.len();
        if let Some(curly) = self.open.last_mut() {
            curly.exits.push(here);
            self.steps[curly.fork] = Step::Fork(curly.fork + 1, here + 1);
            curly.fork = here + 1;
        }
        self.steps.extend([Step::Jump(here), Step::Jump(here + 2)]);
        1
    }

    fn close_curly(&mut self) -> usize {
        let end = self.steps.len();
        for exit in self.open.pop().into_iter().flat_map(|curly| curly.exits) {
            self.steps[exit] = Step::Jump(end);
        }
        1
    }

    /// `[…]`; without its end, the rule applies to nothing.
    fn class(&mut self, rest: &[u8]) -> usize {
        let Some(length) = rest.iter().skip(1).position(|&byte| byte == b']').map(|at| at + 1) else {
            return self.push(Step::Class(Box::default()), 1 + rest.len());
        };
        let mut set = Box::<[u64; 4]>::default();
        let mut add = |low: u8, high: u8| {
            for byte in low..=high {
                set[usize::from(byte >> 6)] |= 1 << (byte & 63);
            }
        };
        let mut inner: Vec<u8> = Vec::with_capacity(length);
        inner.extend(rest[..length].iter().filter(|&&byte| byte != b'\\'));
        let mut inner = inner.as_slice();
        while let Some((&low, tail)) = inner.split_first() {
            if let [b'-', high, behind @ ..] = tail {
                add(low, *high);
                inner = behind;
            } else {
                add(low, low);
                inner = tail;
            }
        }
        self.push(Step::Class(set), 2 + length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applies(glob: &Glob, path: &str) -> bool {
        let spend = &mut |_: usize| Ok::<(), std::convert::Infallible>(());
        glob.applies_to(path, spend).unwrap_or_default()
    }

    #[test]
    fn nested_alternatives_and_classes_match() {
        let glob = Glob::compile("/", "{a,b{c,d}}[0-9x]", false);
        for (path, expected) in [("/a1", true), ("/bc9", true), ("/bdx", true), ("/b1", false), ("/ay", false)] {
            assert_eq!(applies(&glob, path), expected, "{path}");
        }
    }

    #[test]
    fn an_unfinished_pattern_applies_to_nothing() {
        for pattern in ["{a,b", "[ab", "a[", "{"] {
            assert!(!applies(&Glob::compile("/", pattern, false), "/a"), "{pattern}");
        }
    }

    #[test]
    fn a_hostile_pattern_is_not_slow() {
        let glob = Glob::compile("/", &"*a".repeat(200), false);
        assert!(!applies(&glob, &format!("/{}", "a".repeat(199))));
    }
}
