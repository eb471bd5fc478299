//! NuGet, through `dotnet`.
//!
//! Facts: docs/facts.md B.8; <https://learn.microsoft.com/dotnet/core/tools/dotnet-restore>,
//! <https://learn.microsoft.com/visualstudio/msbuild/customize-by-directory>.

use super::arguments::{Flags, Means, Tool, frozen, switch, valued, verb};
use super::manifest::{Collector, locate_text, xml};
use super::{Action, Listing, Manager, Obstacle, Role, folders, up_to_root};
use crate::edit::Span;
use crate::effects::Place;
use crate::facts::{join, parent};
use std::collections::BTreeSet;

const NONE: &[Flags] = &[];

/// Commands of dotnet. Those that are not listed build.
pub(super) const TOOLS: &[Tool] = &[Tool {
    manager: Manager::Dotnet,
    programs: "dotnet",
    verbs: &[
        verb("restore", Action::InstallDependencies, NONE),
        frozen("tool restore", Action::InstallDependencies, NONE),
        frozen(
            "tool install|tool update",
            Action::InstallNamed,
            &[
                switch("-g --global --prerelease", Means::Nothing),
                valued("--version --framework --add-source", Means::Nothing),
                valued("--tool-path", Means::Path(Role::Output)),
            ],
        ),
        frozen("workload install", Action::InstallNamed, NONE),
        frozen("nuget locals", Action::Clean, &[switch("-c --clear -l --list", Means::Nothing)]),
    ],
    flags: &[
        switch("--locked-mode", Means::Frozen),
        switch("--no-cache", Means::NoCache),
        switch("--use-current-runtime --ucr --force --no-dependencies --disable-parallel --ignore-failed-sources --interactive --nologo", Means::Nothing),
        switch("-v:q -v:m -v:n --verbosity=quiet --verbosity=minimal --force-evaluate --skip-manifest-update", Means::Nothing),
        valued("-r --runtime -a --arch --os -v --verbosity --source -s", Means::Nothing),
        valued("--packages", Means::Path(Role::Output)),
        valued("--configfile", Means::Path(Role::File)),
    ],
    default: None,
    otherwise: Action::Build,
}];

/// How many projects of a solution are followed.
const MAX_PROJECTS: usize = 1000;

/// Files that MSBuild and NuGet look for in the folder of a project and above it.
const SHARED_FILES: &[&str] = &[
    "Directory.Build.props",
    "Directory.Build.targets",
    "Directory.Packages.props",
    "Directory.Build.rsp",
    "Directory.Solution.props",
    "Directory.Solution.targets",
    "global.json",
    "nuget.config",
    "NuGet.config",
    "NuGet.Config",
];

pub(super) fn footprint(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    collector.touches_outside();
    for path in step.paths.iter().filter(|it| it.role == Role::Output) {
        collector.writes(Place::tree(join(collector.folder, &path.path)));
    }
    if let Some(path) = step.paths.iter().find(|it| it.role == Role::File) {
        return Err(Obstacle::in_script(path.span, format!("`{}` is not followed", path.path)));
    }
    match step.action {
        Action::InstallDependencies if step.display.ends_with("tool restore") => tools(collector),
        Action::InstallDependencies => restore(collector),
        // The version of the SDK, and where tools come from.
        Action::InstallNamed => shared_files(collector, collector.folder, &mut BTreeSet::new()),
        _ => Ok(()),
    }
}

fn tools(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let mut found = false;
    for folder in up_to_root(collector.folder) {
        for name in [".config/dotnet-tools.json", "dotnet-tools.json"] {
            found |= collector.exists(&join(&folder, name))?;
        }
    }
    shared_files(collector, collector.folder, &mut BTreeSet::new())?;
    if found { Ok(()) } else { Err(collector.obstacle("`dotnet-tools.json` is not in the build context")) }
}

fn restore(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let mut pending = roots(collector)?;
    let mut seen = BTreeSet::new();
    let mut shared = BTreeSet::new();
    while let Some(path) = pending.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        if seen.len() > MAX_PROJECTS {
            return Err(collector.obstacle("too many projects to follow"));
        }
        let text = collector.require(&path)?;
        shared_files(collector, parent(&path), &mut shared)?;
        if path.ends_with(".sln") {
            pending.extend(solution(&path, &text));
        } else if path.ends_with(".slnx") {
            pending.extend(solution_xml(collector, &path, &text)?);
        } else if is_project(&path) {
            pending.extend(project(collector, &path, &text)?);
        } else {
            return Err(Obstacle::in_file(&path, None, format!("`{}` is not followed", collector.shown(&path))));
        }
    }
    Ok(())
}

/// The project or solution that is named, or the only one in the folder.
fn roots(collector: &Collector<'_>) -> Result<Vec<String>, Obstacle> {
    let step = collector.step;
    let named = match step.operands.as_slice() {
        [] => collector.folder.to_owned(),
        [word] => match word.literal() {
            Some(it) => join(collector.folder, it),
            None => return Err(Obstacle::in_script(word.span, format!("which project `{}` is, is not known", word.text))),
        },
        [_, word, ..] => return Err(Obstacle::in_script(word.span, format!("`{}` is not followed", word.text))),
    };
    if is_project(&named) || is_solution(&named) {
        return Ok(vec![named]);
    }
    let children = match collector.files.list(&named) {
        Listing::Known(children) => children,
        Listing::Absent => Vec::new(),
        Listing::Unknown => return Err(collector.obstacle(format!("what is in `{}` is not known", collector.shown(&named)))),
    };
    let found: Vec<String> =
        children.iter().filter(|it| !it.is_folder && (is_project(&it.name) || is_solution(&it.name))).map(|it| join(&named, &it.name)).collect();
    match found.as_slice() {
        [_] => Ok(found),
        _ => Err(collector.obstacle(format!("which project `{}` takes is not known", step.display))),
    }
}

fn is_solution(path: &str) -> bool {
    path.ends_with(".sln") || path.ends_with(".slnx")
}

pub(super) fn is_project(path: &str) -> bool {
    [".csproj", ".fsproj", ".vbproj", ".sqlproj", ".esproj", ".proj"].iter().any(|it| path.ends_with(it))
}

fn slashes(path: &str) -> String {
    path.replace('\\', "/")
}

/// Projects of a solution: `Project("{…}") = "name", "path", "{…}"`. A folder of the solution has no
/// file of its own.
fn solution(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().filter(|it| it.trim_start().starts_with("Project("));
    let named = lines.filter_map(|it| it.split('"').nth(5)).map(slashes);
    named.filter(|it| is_project(it)).map(|it| join(parent(path), &it)).collect()
}

fn solution_xml(collector: &Collector<'_>, path: &str, text: &str) -> Result<Vec<String>, Obstacle> {
    let document = xml(path, &collector.shown(path), text)?;
    let projects = document.descendants().filter(|it| it.has_tag_name("Project")).filter_map(|it| it.attribute("Path"));
    Ok(projects.map(|it| join(parent(path), &slashes(it))).collect())
}

/// Files above a project. Each is read once.
fn shared_files(collector: &mut Collector<'_>, folder: &str, seen: &mut BTreeSet<String>) -> Result<(), Obstacle> {
    for folder in up_to_root(folder) {
        if !seen.insert(folder.clone()) {
            return Ok(());
        }
        for name in SHARED_FILES {
            let path = join(&folder, name);
            let Some(text) = collector.optional(&path)? else { continue };
            if name.ends_with(".rsp") {
                return Err(Obstacle::in_file(&path, None, format!("`{}` adds arguments", collector.shown(&path))));
            }
            if name.eq_ignore_ascii_case("nuget.config") {
                feeds(collector, &path, &text)?;
            } else if name.ends_with(".props") || name.ends_with(".targets") {
                let references = build_file(collector, &path, &text)?;
                if let Some(reference) = references.first() {
                    return Err(Obstacle::in_file(&path, None, format!("`{}` refers to `{}`", collector.shown(&path), collector.shown(reference))));
                }
            }
        }
    }
    Ok(())
}

/// A feed of packages that is a folder.
fn feeds(collector: &Collector<'_>, path: &str, text: &str) -> Result<(), Obstacle> {
    let document = xml(path, &collector.shown(path), text)?;
    let sources = document
        .descendants()
        .filter(|it| it.tag_name().name().eq_ignore_ascii_case("packageSources") || it.tag_name().name().eq_ignore_ascii_case("fallbackPackageFolders"));
    for node in sources.flat_map(|it| it.children()).filter(|it| it.has_tag_name("add")) {
        let value = node.attribute("value").unwrap_or_default();
        if !value.contains("://") {
            let span = Span::new(node.range().start, node.range().end);
            return Err(Obstacle::in_file(path, Some(span), format!("`{}` takes packages from `{value}`", collector.shown(path))));
        }
    }
    Ok(())
}

fn project(collector: &mut Collector<'_>, path: &str, text: &str) -> Result<Vec<String>, Obstacle> {
    let folder = parent(path);
    let res = build_file(collector, path, text)?;
    collector.exists(&format!("{path}.user"))?;
    for name in ["packages.config", "paket.references", "project.json"] {
        let other = join(folder, name);
        if collector.exists(&other)? {
            return Err(Obstacle::in_file(&other, None, format!("`{}` is not followed", collector.shown(&other))));
        }
    }
    let lock = join(folder, "packages.lock.json");
    if collector.exists(&lock)? {
        if !collector.step.frozen {
            return Err(collector.obstacle(format!("`{}` may rewrite `{}`", collector.step.display, collector.shown(&lock))));
        }
    } else if text.contains("RestorePackagesWithLockFile") {
        collector.writes(Place::File(lock));
    }
    collector.writes(Place::tree(join(folder, "obj")));
    Ok(res)
}

/// Properties that move what a restore reads or writes.
const MOVED: &[&str] = &[
    "BaseIntermediateOutputPath",
    "MSBuildProjectExtensionsPath",
    "ArtifactsPath",
    "UseArtifactsOutput",
    "RestorePackagesPath",
    "RestoreSources",
    "RestoreAdditionalProjectSources",
    "RestoreOutputPath",
    "NuGetLockFilePath",
    "RestoreConfigFile",
    "RestoreFallbackFolders",
];

/// Projects that a file of MSBuild refers to. What it imports has to be a file that is named.
fn build_file(collector: &mut Collector<'_>, path: &str, text: &str) -> Result<Vec<String>, Obstacle> {
    let document = xml(path, &collector.shown(path), text)?;
    let folder = parent(path);
    let mut res = Vec::new();
    for node in document.descendants().filter(|it| it.is_element()) {
        let span = Span::new(node.range().start, node.range().end);
        let refuse = |what: &str| Err(Obstacle::in_file(path, Some(span), format!("what `{what}` in `{}` reads is not known", collector.shown(path))));
        match node.tag_name().name() {
            "ProjectReference" => {
                let include = slashes(node.attribute("Include").unwrap_or_default());
                if include.contains("$(") || include.contains("@(") {
                    return refuse(&include);
                }
                res.extend(references(collector, folder, &include)?);
            }
            "Import" => {
                let file = slashes(node.attribute("Project").unwrap_or_default());
                if node.attribute("Sdk").is_some() {
                    continue;
                }
                return refuse(&file);
            }
            name if MOVED.contains(&name) => return refuse(name),
            _ => {
                // `$([System.IO.File]::…)`, and conditions on files.
                let values = node.attributes().map(|it| it.value()).chain(node.text());
                if let Some(value) = values.into_iter().find(|it| it.contains("System.IO") || it.contains("GetPathOfFileAbove") || it.contains("Exists(")) {
                    return refuse(value.trim());
                }
            }
        }
    }
    if let Some(task) = ["<Exec", "<UsingTask", "<ReadLinesFromFile"].iter().find(|it| text.contains(**it)) {
        // A target runs only if it is asked for; one that is hooked into the restore is.
        let hooks = ["BeforeTargets=\"Restore", "BeforeTargets=\"CollectPackageReferences", "InitialTargets"];
        if hooks.iter().any(|it| text.contains(it)) {
            return Err(Obstacle::in_file(path, locate_text(text, task), format!("`{}` runs a program on restore", collector.shown(path))));
        }
    }
    Ok(res)
}

/// The projects that an `Include` names; it may be a pattern.
fn references(collector: &Collector<'_>, folder: &str, include: &str) -> Result<Vec<String>, Obstacle> {
    let mut res = Vec::new();
    for item in include.split(';').map(str::trim).filter(|it| !it.is_empty()) {
        if !item.contains(['*', '?']) {
            res.push(join(folder, item));
            continue;
        }
        let (below, name) = item.rsplit_once('/').unwrap_or((".", item));
        let fixed: Vec<&str> = below.split('/').take_while(|it| !it.contains(['*', '?'])).collect();
        let root = join(folder, &fixed.join("/"));
        let pattern = below.split('/').skip(fixed.len()).collect::<Vec<_>>().join("/");
        for found in folders::matching(collector, &root, &[pattern])? {
            match collector.files.list(&found) {
                Listing::Known(children) => {
                    res.extend(children.iter().filter(|it| !it.is_folder && folders::matches_part(name, &it.name)).map(|it| join(&found, &it.name)))
                }
                Listing::Absent => {}
                Listing::Unknown => return Err(collector.obstacle(format!("what is in `{}` is not known", collector.shown(&found)))),
            }
        }
    }
    Ok(res)
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::tests::{footprint_of, refusal};

    const EMPTY: &str = "<Project Sdk=\"Microsoft.NET.Sdk\"></Project>";

    #[test]
    fn references_are_followed() {
        let files = [
            ("src/A/A.csproj", "<Project Sdk=\"x\"><ItemGroup><ProjectReference Include=\"..\\B\\B.csproj\" /></ItemGroup></Project>"),
            ("src/B/B.csproj", EMPTY),
            ("src/C/C.csproj", EMPTY),
            ("Directory.Build.props", "<Project><PropertyGroup><X>1</X></PropertyGroup></Project>"),
            ("NuGet.config", "<configuration><packageSources><clear/><add key=\"n\" value=\"https://x\"/></packageSources></configuration>"),
            ("global.json", "{}"),
        ];
        assert_eq!(
            footprint_of("dotnet restore src/A/A.csproj -r linux-x64", &files),
            "needs Directory.Build.props NuGet.config global.json src/A/A.csproj src/B/B.csproj; writes src/A/obj/ src/B/obj/"
        );
        assert_eq!(footprint_of("dotnet restore", &[("A.csproj", EMPTY), ("Program.cs", "")]), "needs A.csproj; writes obj/");
        assert_eq!(footprint_of("dotnet restore", &[("A.csproj", "\u{feff}<Project></Project>")]), "needs A.csproj; writes obj/");
        assert_eq!(footprint_of("cd src/B && dotnet restore", &files[..3]), "needs src/B/B.csproj; writes src/B/obj/");
    }

    #[test]
    fn a_solution_names_its_projects() {
        let solution = "Project(\"{F}\") = \"A\", \"src\\A\\A.csproj\", \"{1}\"\nEndProject\nProject(\"{2}\") = \"folder\", \"folder\", \"{3}\"\nEndProject\n";
        assert_eq!(footprint_of("dotnet restore x.sln", &[("x.sln", solution), ("src/A/A.csproj", EMPTY)]), "needs src/A/A.csproj x.sln; writes src/A/obj/");
        let modern = "<Solution><Folder Name=\"/src/\"><Project Path=\"src/A/A.csproj\"/></Folder></Solution>";
        assert_eq!(footprint_of("dotnet restore", &[("x.slnx", modern), ("src/A/A.csproj", EMPTY)]), "needs src/A/A.csproj x.slnx; writes src/A/obj/");
        let wild = "<Project><ItemGroup><ProjectReference Include=\"..\\*\\*.csproj\" /></ItemGroup></Project>";
        assert!(
            footprint_of("dotnet restore t/t.proj", &[("t/t.proj", wild), ("src/A.csproj", EMPTY), ("lib/B.csproj", EMPTY)])
                .starts_with("needs lib/B.csproj src/A.csproj t/t.proj;")
        );
    }

    #[test]
    fn what_is_not_followed_stands_in_the_way() {
        let fails = |text: &str| refusal("dotnet restore A.csproj", &[("A.csproj", text)]);
        assert!(fails("<Project><Import Project=\"$(X).props\"/></Project>").contains("`$(X).props`"));
        assert!(fails("<Project><Import Project=\"x.props\"/></Project>").contains("`x.props`"));
        assert!(fails("<Project><ItemGroup><ProjectReference Include=\"$(X)/a.csproj\"/></ItemGroup></Project>").contains("is not known"));
        assert!(fails("<Project><ItemGroup><ProjectReference Include=\"B.csproj\"/></ItemGroup></Project>").contains("`B.csproj` is not in the build context"));
        assert!(fails("<Project><X Condition=\"Exists('a')\"/></Project>").contains("Exists('a')"));
        assert!(fails("<Project><PropertyGroup><UseArtifactsOutput>true</UseArtifactsOutput></PropertyGroup></Project>").contains("UseArtifactsOutput"));
        assert!(fails("<Project>").contains("not valid XML"));
        let with = |name: &'static str, text: &'static str| refusal("dotnet restore A.csproj", &[("A.csproj", EMPTY), (name, text)]);
        assert!(
            with("nuget.config", "<configuration><packageSources><add key=\"l\" value=\"./packages\"/></packageSources></configuration>")
                .contains("`./packages`")
        );
        assert!(with("packages.lock.json", "{}").contains("may rewrite `packages.lock.json`"));
        assert!(with("packages.config", "").contains("not followed"));
        assert!(refusal("dotnet restore", &[("A.csproj", EMPTY), ("B.csproj", EMPTY)]).contains("which project"));
        assert!(footprint_of("dotnet restore --locked-mode", &[("A.csproj", EMPTY), ("packages.lock.json", "{}")]).contains("packages.lock.json"));
        for script in ["dotnet build", "dotnet publish -c Release", "dotnet test", "dotnet run"] {
            assert!(refusal(script, &[("A.csproj", EMPTY)]).contains("may read or write anything"), "{script}");
        }
    }

    #[test]
    fn tools_come_from_their_manifest() {
        assert_eq!(footprint_of("dotnet tool restore", &[(".config/dotnet-tools.json", "{}")]), "needs .config/dotnet-tools.json; writes nothing");
        assert_eq!(footprint_of("dotnet tool install -g dotnet-ef --version 8.0.0", &[("A.csproj", EMPTY)]), "needs nothing; writes nothing");
        assert!(refusal("dotnet tool restore", &[]).contains("`dotnet-tools.json` is not in the build context"));
    }
}
