//! Which steps a build ran, read from its progress (`--progress=rawjson`).

use serde_json::Value;
use std::collections::BTreeMap;

/// A step by the name of its stage and its number in the stage, as the progress shows them. Where
/// there is one stage only, it shows no name.
pub type Place = (String, usize);

/// The steps of a build.
pub type Steps = BTreeMap<Place, Step>;

/// What the progress shows of one step.
#[derive(Debug, Default)]
pub struct Step {
    /// The text of the instruction, as the progress shortens it.
    pub text: String,
    has_inputs: bool,
    /// By the moment it was started: whether anything was done then. Nothing is if the cache has the
    /// step, or if a search for its key is broken off, because another one was faster
    /// (`sharedOp.CalcSlowCache` in solver/jobs.go of moby/buildkit), which is shown as an error.
    started: BTreeMap<String, bool>,
}

impl Step {
    /// Whether it ran. To look for the key of a step without inputs counts as a start of its own
    /// (`sharedOp.CacheMap`, there).
    pub fn ran(&self) -> bool {
        self.started.values().filter(|it| **it).count() > usize::from(!self.has_inputs)
    }
}

/// Reads the progress, one JSON value a line. A step is shown again with each change of its state.
pub fn read(log: &str) -> Steps {
    let mut res = Steps::new();
    for event in log.lines().filter_map(|it| serde_json::from_str::<Value>(it).ok()) {
        for vertex in event["vertexes"].as_array().into_iter().flatten() {
            let Some((place, text)) = vertex["name"].as_str().and_then(place) else { continue };
            let step = res.entry(place).or_default();
            text.clone_into(&mut step.text);
            step.has_inputs |= vertex["inputs"].as_array().is_some_and(|it| !it.is_empty());
            if let Some(started) = vertex["started"].as_str() {
                let nothing_done = vertex["cached"] == true || vertex["error"].as_str().is_some_and(|it| !it.is_empty());
                step.started.insert(started.to_owned(), !nothing_done);
            }
        }
    }
    res
}

/// The place and the text of `[stage 2/3] COPY a b`. The second step of a linked copy, which only lays the layer
/// on top, has the number of the first; it is left out. So is a base image: builds that run at the
/// same time share it, and show the place that it has in the first of them (solver/jobs.go:586).
fn place(name: &str) -> Option<(Place, &str)> {
    let (bracket, text) = name.strip_prefix('[')?.split_once("] ")?;
    let mut words = bracket.split_whitespace();
    let number = words.next_back()?.split_once('/')?.0.parse().ok()?;
    let stage = words.next().unwrap_or_default();
    (!text.starts_with("LINK ") && !text.starts_with("FROM ")).then(|| ((stage.to_owned(), number), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(log: &str) -> Vec<(String, bool)> {
        read(log).into_values().map(|it| (it.text.clone(), it.ran())).collect()
    }

    #[test]
    fn a_step_that_was_in_the_cache_did_not_run() {
        let log = r#"{"vertexes":[{"name":"[internal] load build definition","started":"1"},{"name":"[1/3] FROM a","started":"1"}]}
            {"vertexes":[{"name":"[2/3] COPY a b","inputs":["a"],"started":"1","cached":true},{"name":"[3/3] RUN a","inputs":["a"]}]}
            {"vertexes":[{"name":"[3/3] RUN a","inputs":["a"],"started":"2"}]}"#;
        assert_eq!(ran(log), [("COPY a b".to_owned(), false), ("RUN a".to_owned(), true)]);
    }

    #[test]
    fn a_search_that_is_broken_off_is_no_run() {
        let log = r#"{"vertexes":[{"name":"[1/1] COPY a b","inputs":["a"],"started":"1"}]}
            {"vertexes":[{"name":"[1/1] COPY a b","inputs":["a"],"started":"1","completed":"2","error":"context canceled"}]}"#;
        assert_eq!(ran(log), [("COPY a b".to_owned(), false)]);
    }

    #[test]
    fn the_base_image_of_another_build_is_no_step() {
        let log = r#"{"vertexes":[{"name":"[s1 1/4] FROM a","started":"1"},{"name":"[s1 1/2] RUN a","inputs":["a"],"started":"2","cached":true}]}"#;
        assert_eq!(ran(log), [("RUN a".to_owned(), false)]);
    }
}
