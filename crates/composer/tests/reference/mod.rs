//! Random questions from a fixed seed, and the answers of the reference implementation where PHP and Composer's library
//! are at hand: all of them are asked in one PHP process.
//!
//! Without PHP a test says so and passes; `ROSTRUM_REQUIRE_PHP=1` makes that a failure. Whoever includes this module has
//! `Constraint` and `normalize` in scope, from the crate by the name that it knows it by.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use super::{Constraint, normalize};

const SEMVER: &str = "/usr/share/php/Composer/Semver/autoload.php";
const COMPOSER: &str = "/usr/share/php/Composer/autoload.php";

/// Answers every question of the input; exceptions become null.
const SCRIPT: &str = r"
require $argv[1];
if (is_file($argv[2])) { require_once $argv[2]; }
$in = json_decode(stream_get_contents(STDIN), true, 512, JSON_THROW_ON_ERROR);
$p = new Composer\Semver\VersionParser();
$try = function (callable $f) { try { return $f(); } catch (\Exception $e) { return null; } };
$out = [];
foreach ($in['versions'] ?? [] as $v) {
    $out['versions'][] = [
        $try(fn () => $p->normalize($v)), $p->normalizeBranch($v),
        $p->parseNumericAliasPrefix($v) ?: null, $p->parseStability($v),
        $try(fn () => (string) $p->parseConstraints($p->normalizeBranch($v))),
    ];
}
foreach ($in['constraints'] ?? [] as $c) { $out['constraints'][] = $try(fn () => (string) @$p->parseConstraints($c)); }
foreach ($in['matches'] ?? [] as [$v, $c]) {
    $out['matches'][] = $try(fn () => @$p->parseConstraints($c)->matches(new Composer\Semver\Constraint\Constraint('==', $v)));
}
foreach ($in['satisfies'] ?? [] as [$v, $c]) { $out['satisfies'][] = $try(fn () => @Composer\Semver\Semver::satisfies($v, $c)); }
foreach ($in['compare'] ?? [] as [$a, $b]) { $out['compare'][] = version_compare($a, $b); }
$out['excludes'] = [];
if (class_exists('Composer\Package\Archiver\ComposerExcludeFilter')) {
    foreach ($in['excludes'] ?? [] as [$rules, $path]) {
        $f = new Composer\Package\Archiver\ComposerExcludeFilter('/', $rules);
        $out['excludes'][] = @$f->filter('/'.$path, false);
    }
}
echo json_encode($out, JSON_THROW_ON_ERROR);
";

/// A small generator of pseudo-random numbers (xorshift64*): the same questions on every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).unwrap_or_default() % limit
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn numbers(&mut self) -> String {
        let count = self.below(5) + 1;
        let pool = ["0", "1", "2", "3", "9", "10", "00", "01", "100", "99999", "100000", "9999999", "201903"];
        (0..count).map(|_| self.of(&pool)).collect::<Vec<_>>().join(".")
    }

    fn modifier(&mut self) -> String {
        let words =
            ["stable", "beta", "b", "RC", "rc", "alpha", "a", "patch", "pl", "p", "BETA", "STABLE", "Dev", "foo"];
        let number = ["", "1", ".2", "-3", "10", ".1.2", "-1.3"];
        let dev = ["", "", "", "-dev", "dev", ".dev", "-DEV"];
        format!("{}{}{}{}", self.of(&["", ".", "-", "_", "--"]), self.of(&words), self.of(&number), self.of(&dev))
    }

    fn date(&mut self) -> String {
        let mut date = self.of(&["2010", "1999", "0001"]).to_owned();
        for _ in 0..=self.below(6) {
            date += self.of(&["", ".", "-", ":"]);
            date += self.of(&["01", "12", "31"]);
        }
        date + self.of(&["", "", "-1", ".100", "5"])
    }

    fn branch(&mut self) -> String {
        let names =
            ["main", "master", "trunk", "default", "feature/foo", "1.x", "2.0.x", "v3", "x", "fix#12", "a+b", "3.next"];
        format!("{}{}", self.of(&["dev-", "dev-", "DEV-", ""]), self.of(&names))
    }

    fn version(&mut self) -> String {
        let prefix = self.of(&["", "", "", "v", "V", " "]);
        let core = match self.below(10) {
            0 => self.date(),
            1 | 2 => self.branch(),
            3 => self.numbers() + self.of(&[".x-dev", ".*-dev", ".x", ".X.dev", ".x.x-dev"]),
            4..=6 => self.numbers() + &self.modifier(),
            _ => self.numbers(),
        };
        let suffixes = [
            "",
            "",
            "",
            "",
            "-dev",
            "+build.5",
            "+a b",
            "@dev",
            "@RC",
            "@stable",
            "#abc",
            " as 1.0",
            " as 2.x-dev",
            " ",
        ];
        format!("{prefix}{core}{}", self.of(&suffixes))
    }

    /// A version as people write it, so that enough constraints are valid.
    fn plain_version(&mut self) -> String {
        let numbers =
            ["0", "1", "2", "1.0", "1.2", "2.1", "0.1", "0.0.3", "1.2.3", "2.0.0", "1.2.3.4", "9.9", "201903.0"];
        let modifier = ["", "", "", "", "-dev", "-beta2", "-RC1", ".x-dev", "-stable", "@dev", "@RC", "+build"];
        format!("{}{}", self.of(&numbers), self.of(&modifier))
    }

    fn atom(&mut self) -> String {
        match self.below(8) {
            0 => self.numbers() + self.of(&[".*", ".x", ".X", ".*.*"]),
            1 => self.of(&["*", "x", "v*", "*.*", "@dev", "@stable", "", "^", "~", "*-dev"]).to_owned(),
            2 => format!("{}{}{}", self.version(), self.of(&[" - ", "  - ", " -", "- "]), self.version()),
            _ => {
                let operators = ["", "^", "~", "^", "~", ">=", "<", "<=", ">", "=", "==", "!=", "<>", "~>", "=>"];
                let operator = self.of(&operators);
                let version = if self.below(4) == 0 { self.version() } else { self.plain_version() };
                format!("{operator}{}{version}", self.of(&["", "", "", " "]))
            }
        }
    }

    fn constraint(&mut self) -> String {
        let joints = [" ", ",", ", ", " , ", "  ", "||", " || ", "|", " | ", ",,", "|||"];
        let mut constraint = self.atom();
        for _ in 0..self.below(4) {
            constraint += self.of(&joints);
            constraint += &self.atom();
        }
        constraint
    }

    fn path(&mut self) -> String {
        let names = ["a", "b", "foo", "foo.md", ".git", ".a", "tests", "src", "a.b", "x1"];
        (0..=self.below(3)).map(|_| self.of(&names)).collect::<Vec<_>>().join("/")
    }

    fn rule(&mut self) -> String {
        let pieces = [
            "a",
            "b",
            "foo",
            "*",
            "*.md",
            "**",
            "?",
            ".*",
            "{a,b}",
            "tests",
            "src",
            "{*.md,x?}",
            ".git",
            "[ab]",
            "a.b",
            "x\\1",
        ];
        let middle =
            (0..=self.below(2)).map(|_| self.of(&pieces)).collect::<Vec<_>>().join(self.of(&["/", "/", "/", ""]));
        format!("{}{}{middle}{}", self.of(&["", "", "!"]), self.of(&["", "", "/"]), self.of(&["", "", "/"]))
    }
}

/// PHP's answers, or why there are none.
fn ask(questions: &Value) -> Result<Value, String> {
    if !Path::new(SEMVER).is_file() {
        return Err(format!("{SEMVER} does not exist"));
    }
    let mut php = Command::new("php")
        .args(["-d", "memory_limit=-1", "-d", "display_errors=0", "-r", SCRIPT, "--", SEMVER, COMPOSER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("php does not start: {error}"))?;
    let mut stdin = php.stdin.take().expect("a pipe");
    // PHP reads all of its input before it writes, so the two pipes cannot block each other.
    stdin.write_all(questions.to_string().as_bytes()).expect("php reads the questions");
    drop(stdin);
    let output = php.wait_with_output().expect("php ends");
    assert!(output.status.success(), "php failed: {}", String::from_utf8_lossy(&output.stdout));
    Ok(serde_json::from_slice(&output.stdout).expect("php answers in JSON"))
}

/// Whether the installed reference may be too old to read a date in the text: until 3.4.3 a date could have only
/// one short number at its end.
fn has_long_date(question: &Value) -> bool {
    let text = question.to_string();
    text.split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':' | '-'))).any(|run| {
        run.len() >= 8 && run.trim_start_matches(['-', '.', ':']).bytes().take_while(u8::is_ascii_digit).count() >= 4
    })
}

/// Every list of questions: `versions` and `constraints` as texts; pairs of a normalized version and a constraint
/// (`matches`), of a version as written and a constraint (`satisfies`), of two versions (`compare`), and of exclude rules
/// and a path (`excludes`).
pub fn questions() -> Value {
    let mut dice = Dice(0x005e_ed0f_c0de);
    let versions: Vec<String> = (0..6000).map(|_| dice.version()).collect();
    let constraints: Vec<String> = (0..6000).map(|_| dice.constraint()).collect();
    let normalized: Vec<String> =
        versions.iter().filter_map(|version| Some(normalize(version).ok()?.as_str().to_owned())).collect();
    let parsed: Vec<&String> = constraints.iter().filter(|text| Constraint::parse(text).is_ok()).collect();
    assert!(
        normalized.len() > 2000 && parsed.len() > 1500,
        "{} versions, {} constraints",
        normalized.len(),
        parsed.len()
    );
    let matches: Vec<Value> = (0..20_000)
        .map(|_| json!([normalized[dice.below(normalized.len())], parsed[dice.below(parsed.len())]]))
        .collect();
    let readable: Vec<&String> = versions.iter().filter(|version| normalize(version).is_ok()).collect();
    let satisfies: Vec<Value> =
        (0..20_000).map(|_| json!([readable[dice.below(readable.len())], parsed[dice.below(parsed.len())]])).collect();
    let compare: Vec<Value> = (0..10_000)
        .map(|_| {
            let numeric = |dice: &mut Dice| match dice.below(3) {
                0 => versions[dice.below(versions.len())].clone(),
                _ => normalized[dice.below(normalized.len())].clone(),
            };
            json!([numeric(&mut dice), numeric(&mut dice)])
        })
        .collect();
    let excludes: Vec<Value> = (0..10_000)
        .map(|_| {
            let rules: Vec<String> = (0..=dice.below(2)).map(|_| dice.rule()).collect();
            json!([rules, dice.path()])
        })
        .collect();
    json!({"versions": versions, "constraints": constraints, "matches": matches,
           "satisfies": satisfies, "compare": compare, "excludes": excludes})
}

/// Answers one question as we do.
pub type Answer<'a> = &'a dyn Fn(&Value) -> Value;

/// Compares our answers to some lists of [`questions`] with the reference's.
pub fn compare(questions: &Value, kinds: &[(&str, Answer<'_>)]) {
    let asked: Map<String, Value> =
        kinds.iter().map(|(kind, _)| ((*kind).to_owned(), questions[*kind].clone())).collect();
    let answers = match ask(&Value::Object(asked)) {
        Ok(answers) => answers,
        Err(reason) => {
            assert!(std::env::var("ROSTRUM_REQUIRE_PHP").is_err(), "PHP is required: {reason}");
            println!("skipped: {reason}");
            return;
        }
    };
    let mut mismatches = Vec::new();
    for (kind, answer) in kinds.iter().copied() {
        let (asked, answered) = (questions[kind].as_array().expect(kind), answers[kind].as_array().expect(kind));
        let (mut compared, mut older) = (0, 0);
        for (question, wanted) in asked.iter().zip(answered) {
            let got = answer(question);
            if got == *wanted {
                compared += 1;
            } else if !matches!(kind, "compare" | "excludes") && has_long_date(question) {
                older += 1;
            } else {
                mismatches.push(format!("{kind} {question}\n  wanted {wanted}\n  got    {got}"));
            }
        }
        // Few enough that the rest proves something.
        assert!(older * 20 < answered.len(), "{older} of {} questions have dates", answered.len());
        println!("{kind}: {compared} of {} agree, {older} dates are beyond the installed reference", answered.len());
    }
    assert!(
        mismatches.is_empty(),
        "{} differ:\n{}",
        mismatches.len(),
        mismatches[..mismatches.len().min(40)].join("\n")
    );
}
