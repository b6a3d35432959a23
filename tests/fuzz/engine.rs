//! Runs one target for a while, on its corpus and on changes of it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use sha1::{Digest, Sha1};

/// How long a target runs where nobody says how long.
const DEFAULT_TIME: Duration = Duration::from_millis(300);

/// Longest input, in bytes.
const MAX_INPUT: usize = 64 << 10;

/// What may be done to an input.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Splice(Index, Index, Index, usize),
    Truncate(Index),
}

/// Something that reads what strangers send.
pub struct Target {
    /// Also the name of its corpus.
    pub name: &'static str,
    /// What its inputs are made of.
    pub words: &'static [&'static str],
    /// Reads an input, and panics when a property does not hold.
    pub read: fn(&[u8]),
}

impl Target {
    /// Reads the corpus, and then changes of it until the time is over.
    pub fn run(&self) {
        let corpus = self.corpus();
        assert!(!corpus.is_empty(), "{} has no corpus", self.name);
        for (path, input) in &corpus {
            println!("{}", path.display());
            (self.read)(input);
        }
        let seeds: Vec<Vec<u8>> = corpus.into_iter().map(|(_, input)| input).collect();
        let until = Instant::now() + time();
        let config = Config { failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, rng());
        let inputs = self.inputs(seeds);
        let mut executions = 0_u64;
        while Instant::now() < until {
            executions += 1;
            let input = inputs.new_tree(&mut runner).expect("nothing is rejected");
            let result = runner.run_one(input, |input| {
                (self.read)(&input);
                Ok(())
            });
            if let Err(TestError::Fail(reason, input)) = result {
                let path = self.keep(&input);
                panic!("{} fails for the input that is kept as {}: {reason}", self.name, path.display());
            }
        }
        println!("{}: {executions} executions", self.name);
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(self.name)
    }

    fn corpus(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(self.folder()).into_iter().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("is listed").path()).collect();
        paths.sort();
        paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("is read"))).collect()
    }

    fn keep(&self, input: &[u8]) -> PathBuf {
        let digest = hex::encode(Sha1::digest(input));
        let path = self.folder().join(format!("found-{}", &digest[..12]));
        fs::write(&path, input).expect("is kept");
        path
    }

    fn inputs(&self, seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> + use<> {
        let words = self.words;
        let word = any::<Index>().prop_map(move |at| at.get(words).as_bytes().to_vec());
        let inserted = prop_oneof![3 => word, 1 => vec(any::<u8>(), 1..8)];
        let change = prop_oneof![
            2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
            2 => (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
            4 => (any::<Index>(), inserted).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
            2 => (any::<Index>(), 1_usize..16).prop_map(|(at, count)| Change::Remove(at, count)),
            1 => (any::<Index>(), 1_usize..32, 2_usize..200).prop_map(|(at, count, times)| Change::Repeat(at, count, times)),
            2 => (any::<Index>(), any::<Index>(), any::<Index>(), 1_usize..64)
                .prop_map(|(at, seed, from, count)| Change::Splice(at, seed, from, count)),
            1 => any::<Index>().prop_map(Change::Truncate),
        ];
        (any::<Index>(), vec(change, 0..12)).prop_map(move |(seed, changes)| {
            let mut input = seed.get(&seeds).clone();
            for change in changes {
                apply(change, &mut input, &seeds);
                input.truncate(MAX_INPUT);
            }
            input
        })
    }
}

fn apply(change: Change, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let place = |at: Index, input: &[u8]| at.index(input.len() + 1);
    let part = |at: Index, count: usize, of: &[u8]| {
        let from = at.index(of.len() + 1);
        of[from..(from + count).min(of.len())].to_vec()
    };
    match change {
        Change::Set(at, byte) if !input.is_empty() => *at.get_mut(input) = byte,
        Change::Flip(at, bit) if !input.is_empty() => *at.get_mut(input) ^= 1 << bit,
        Change::Set(..) | Change::Flip(..) => {}
        Change::Insert(at, bytes) => {
            let at = place(at, input);
            input.splice(at..at, bytes);
        }
        Change::Remove(at, count) => {
            let at = place(at, input);
            input.drain(at..(at + count).min(input.len()));
        }
        Change::Repeat(at, count, times) => {
            let repeated = part(at, count, input).repeat(times);
            let at = place(at, input);
            input.splice(at..at, repeated);
        }
        Change::Splice(at, seed, from, count) => {
            let other = part(from, count, seed.get::<Vec<u8>>(seeds).as_slice());
            let at = place(at, input);
            input.splice(at..at, other);
        }
        Change::Truncate(at) => {
            let at = place(at, input);
            input.truncate(at);
        }
    }
}

fn time() -> Duration {
    let seconds = std::env::var("FUZZ_SECONDS").ok().map(|text| text.parse().expect("FUZZ_SECONDS is a number"));
    seconds.map_or(DEFAULT_TIME, Duration::from_secs)
}

/// The same inputs each time, unless `FUZZ_SEED` asks for others.
fn rng() -> TestRng {
    let text = std::env::var("FUZZ_SEED").unwrap_or_default();
    let mut seed = [0; 32];
    let digest = Sha1::digest(text.as_bytes());
    seed[..20].copy_from_slice(&digest);
    TestRng::from_seed(RngAlgorithm::ChaCha, &seed)
}
