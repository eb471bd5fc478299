//! What the values of contexts vary with.
//!
//! Read from "Contexts reference" (content/actions/reference/workflows-and-actions/contexts.md in
//! github/docs) and "Webhook events and payloads" (content/webhooks/webhook-events-and-payloads.md).

use super::evaluate::over;
use super::{Outcome, Scope};
use crate::volatility::{Axis, Variance};

/// What is known of the value at `path`, the context's name first; `*` stands for any name.
pub(super) fn lookup(path: &[&str], scope: &impl Scope) -> Outcome {
    match path {
        ["github", rest @ ..] => github(rest, scope),
        ["env", name] => scope.env(name),
        ["matrix", path @ ..] if !path.is_empty() && !path.contains(&"*") => scope.matrix(path),
        ["inputs", name] => scope.input(name),
        ["steps", step, "outputs", output] => scope.step_output(step, output),
        ["needs", job, "outputs", output] => scope.job_output(job, output),
        // Another for each run, and thrown away behind it.
        ["secrets", "github_token"] => Outcome::present(over(&[Axis::Run])),
        // Always the same until somebody sets another; not there for a pull request from a fork.
        ["secrets" | "vars", ..] => Outcome::varying(Variance::constant()),
        ["runner", "name"] => Outcome::present(over(&[Axis::Run])),
        ["runner", "debug"] => Outcome::varying(over(&[Axis::Run])),
        ["runner", "os" | "arch" | "temp" | "tool_cache" | "environment"] => Outcome::present(over(&[Axis::Workflow])),
        ["strategy", "fail-fast" | "job-total" | "max-parallel"] => Outcome::present(over(&[Axis::Workflow])),
        ["job", "container" | "services" | "check_run_id", ..] => Outcome::varying(over(&[Axis::Run])),
        _ => Outcome::unknown(),
    }
}

fn github(path: &[&str], scope: &impl Scope) -> Outcome {
    match path {
        ["event", rest @ ..] => event(rest, scope),
        ["sha" | "workflow_sha"] => Outcome::present(over(&[Axis::Commit])),
        ["run_id" | "run_number" | "run_attempt" | "token"] => Outcome::present(over(&[Axis::Run])),
        ["ref" | "ref_name" | "ref_type" | "ref_protected"] => Outcome::present(over(&[Axis::Ref])),
        // Only a pull request has them.
        ["head_ref" | "base_ref"] => Outcome::varying(over(&[Axis::Ref])),
        ["event_name"] => scope.event_name(),
        ["workflow" | "job" | "actor" | "actor_id" | "triggering_actor"] => Outcome::present(over(&[Axis::Workflow])),
        ["workflow_ref"] => Outcome::present(over(&[Axis::Workflow, Axis::Ref])),
        ["action" | "action_path" | "action_ref" | "action_repository"] => Outcome::varying(over(&[Axis::Workflow])),
        [
            "repository"
            | "repository_id"
            | "repository_owner"
            | "repository_owner_id"
            | "repositoryurl"
            | "repository_visibility"
            | "server_url"
            | "api_url"
            | "graphql_url"
            | "retention_days"
            | "secret_source"
            | "workspace"
            | "event_path"
            | "env"
            | "path",
        ] => Outcome::present(Variance::constant()),
        // All of it at once.
        [] | ["*", ..] => Outcome::present(over(&[Axis::Commit, Axis::Run, Axis::Ref, Axis::Event, Axis::Workflow])),
        _ => Outcome::unknown(),
    }
}

/// Fields of the event. Each is there for some events only, and empty for all others.
fn event(path: &[&str], scope: &impl Scope) -> Outcome {
    let axes: &[Axis] = match path {
        ["inputs", name] => return scope.input(name),
        ["inputs", ..] | ["client_payload", ..] => return Outcome::unknown(),
        ["after" | "before" | "compare" | "head_commit" | "commits" | "sha" | "commit", ..] => &[Axis::Commit],
        ["pull_request", "head" | "base", "sha"] | ["pull_request", "merge_commit_sha" | "updated_at"] => &[Axis::Commit],
        ["pull_request", "head" | "base" | "number" | "title" | "id" | "node_id" | "html_url" | "body", ..] | ["number"] => &[Axis::Ref],
        ["merge_group", "head_sha" | "base_sha" | "head_commit", ..] => &[Axis::Commit],
        ["merge_group", ..] | ["ref" | "ref_type" | "base_ref", ..] => &[Axis::Ref],
        ["workflow_run", "head_sha" | "head_commit", ..] | ["check_suite" | "check_run", "head_sha" | "after"] | ["deployment", "sha"] => &[Axis::Commit],
        ["workflow_run", "head_branch"] | ["check_suite", "head_branch"] | ["deployment", "ref"] => &[Axis::Ref],
        ["workflow_run", "id" | "run_number" | "run_attempt" | "created_at" | "updated_at"] | ["comment", "id"] => &[Axis::Run],
        ["release", ..] => &[Axis::Ref],
        ["repository", "pushed_at" | "updated_at" | "size" | "open_issues_count" | "stargazers_count" | "watchers_count" | "forks_count"] => &[Axis::Run],
        ["repository" | "organization" | "enterprise" | "installation", _, ..] => &[],
        ["sender" | "pusher" | "workflow", ..] => &[Axis::Workflow],
        [] | ["*", ..] | ["pull_request"] | ["workflow_run"] => &[Axis::Commit, Axis::Run, Axis::Ref, Axis::Event],
        _ => &[Axis::Event],
    };
    Outcome::varying(over(axes))
}
