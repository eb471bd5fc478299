//! What rules ask of calls of bake: the targets that are built, and where an option of theirs stands.

use super::{StepView, WorkflowView};
use crate::bake::Bake;
use crate::cache::CacheEntry;
use crate::edit::Span;
use crate::file::Model;
use crate::links;
use crate::links::Place;
use crate::links::baked::{self, Baked};

/// A call of bake whose files are known.
pub struct Call<'a> {
    /// The files that it reads, in order, by absolute path.
    files: Vec<(String, &'a Bake)>,
    /// The targets that it builds.
    pub targets: Vec<Baked>,
}

impl<'a> WorkflowView<'a> {
    /// The call of bake that a build is; `None` where what it builds cannot be told, or is not known
    /// yet.
    pub fn call(&self, build: &StepView<'_>) -> Option<Call<'a>> {
        let names = baked::files(build.step, &self.path, &|it| self.snapshot.file(it).is_some())?;
        let mut files = Vec::new();
        for name in names {
            let Some(file) = self.snapshot.file(&name) else {
                // Asking makes it wanted; the next snapshot has it as a file.
                self.snapshot.facts.text(&name);
                return None;
            };
            let Model::Bake(bake) = &file.model else { return None };
            files.push((name, bake.as_ref()));
        }
        let targets = baked::targets(&files.iter().map(|it| it.1).collect::<Vec<_>>(), build.step)?;
        Some(Call { files, targets })
    }
}

impl Call<'_> {
    /// The bake file that an export of a target stands in; `None` for one of the call itself.
    pub fn file_of(&self, build: &StepView<'_>, export: &CacheEntry) -> Option<(&str, Span)> {
        let has = |bake: &&Bake| bake.targets.iter().any(|it| it.build.exports.contains(export));
        let file = self.files.iter().filter(|_| !build.build.exports.contains(export)).find(|it| has(&it.1))?;
        Some((file.0.as_str(), export.span))
    }

    /// Where a target finds its files, for a call in the workflow at `path`.
    pub fn place(&self, target: &Baked, path: &str) -> Place {
        links::place(&target.build, path, None)
    }
}
