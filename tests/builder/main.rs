//! The real builder judges the model: which steps run again after a change.
//!
//! `tests/builder/run` starts it, beside an engine; plain `cargo test` leaves it out.

mod bake;
mod case;
mod docker;
mod generate;
mod judge;
mod kept;
mod others;
mod progress;

use case::Inputs;
use generate::Sketch;
use judge::{Tally, judge};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};
use std::{env, process, thread};

/// A build mostly waits, so that some more than there are processors pay.
const WORKERS: usize = 4;

#[test]
fn the_model_predicts_what_buildkit_runs_again() {
    let (cases, seed) = asked();
    unpack_base();
    let started = Instant::now();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let tally = tally.clone();
            let share = cases as usize / WORKERS + usize::from(worker < cases as usize % WORKERS);
            thread::spawn(move || work(seed + worker as u64, share, &tally))
        })
        .collect();
    let failures: Vec<String> = workers.into_iter().filter_map(|it| it.join().unwrap().err()).collect();
    let tally = *tally.lock().unwrap();
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{tally:?}, {:.2} s a case", seconds / (tally.cases + tally.refused).max(1) as f64);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(tally.refused * 10 <= tally.cases, "too many cases are refused");
    assert!(tally.ran > 0 && tally.cached > 0);
}

#[test]
fn a_call_of_bake_builds_what_bake_says() {
    let (cases, seed) = asked();
    let tally = RefCell::new(BTreeMap::<bake::Found, u64>::new());
    let tried = runner(seed, cases as usize).run(&proptest::collection::vec(0..1000_usize, 0..150), |choices| {
        let found = bake::Call::of(&choices).judge().map_err(TestCaseError::fail)?;
        *tally.borrow_mut().entry(found).or_default() += 1;
        Ok(())
    });
    let tally = tally.into_inner();
    eprintln!("{tally:?}");
    if let Err(TestError::Fail(reason, _)) = &tried {
        panic!("{reason}");
    }
    tried.unwrap();
    assert!(tally[&bake::Found::Same] * 8 > cases && tally[&bake::Found::SameOfBoth] * 4 > cases, "hardly anything is compared");
}

/// How many cases are asked for, and which; says so.
fn asked() -> (u64, u64) {
    let cases = number("LAYERWISE_BUILDER_CASES").unwrap_or(300);
    let seed = number("LAYERWISE_BUILDER_SEED").unwrap_or_else(now);
    eprintln!("LAYERWISE_BUILDER_CASES={cases} LAYERWISE_BUILDER_SEED={seed}");
    (cases, seed)
}

fn runner(seed: u64, cases: usize) -> TestRunner {
    let config = Config { cases: cases as u32, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Tries cases; the smallest one that the model is wrong about, if there is one.
fn work(seed: u64, cases: usize, tally: &Mutex<Tally>) -> Result<(), String> {
    let tried = runner(seed, cases).run(&generate::sketch(), |sketch| {
        let found = attempt(&sketch).map_err(TestCaseError::fail)?;
        let mut tally = tally.lock().unwrap();
        tally.add(found);
        if (tally.cases + tally.refused).is_multiple_of(100) {
            eprintln!("{tally:?}");
        }
        Ok(())
    });
    match tried {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, _)) => Err(format!("seed {seed}: {reason}")),
        Err(TestError::Abort(reason)) => Err(format!("seed {seed}: given up: {reason}")),
    }
}

/// Builds on the base image for the first time, with nothing beside it. The engine unpacks the image then; of builds that
/// did so together, one in some thousands did not find again what it had built on it.
fn unpack_base() {
    let inputs = Inputs { dockerfile: "FROM busybox:1.36\nRUN true\n".to_owned(), files: BTreeMap::new(), arguments: BTreeMap::new() };
    let folder = tempfile::tempdir().unwrap();
    inputs.write(folder.path(), None, false).unwrap();
    docker::build(folder.path(), &inputs).unwrap();
}

fn attempt(sketch: &Sketch) -> Result<Tally, String> {
    let folder = tempfile::tempdir().map_err(|it| it.to_string())?;
    judge(&sketch.case(&nonce()), folder.path())
}

/// A word that no other case has, which keeps the caches of all cases apart.
fn nonce() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{}-{}-{}", now(), process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}
