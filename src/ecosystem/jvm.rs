//! Maven and Gradle.
//!
//! Facts: docs/facts.md B.8; <https://maven.apache.org/pom.html>,
//! <https://docs.gradle.org/current/userguide/build_lifecycle.html>.

use super::arguments::{Flags, Means, Tool, frozen, switch, valued};
use super::manifest::{Collector, locate_text, xml};
use super::{Action, Manager, Obstacle, Role, up_to_root};
use crate::edit::Span;
use crate::effects::Place;
use crate::facts::{join, parent};
use std::collections::BTreeSet;

const NONE: &[Flags] = &[];

/// Commands of Maven and Gradle. Goals and tasks that are not listed build.
pub(super) const TOOLS: &[Tool] = &[
    Tool {
        manager: Manager::Maven,
        programs: "mvn mvnw",
        verbs: &[frozen("dependency:go-offline|dependency:resolve|dependency:resolve-plugins", Action::InstallDependencies, NONE)],
        flags: &[
            switch("-B --batch-mode -q --quiet -e --errors -ntp --no-transfer-progress -U --update-snapshots -C -o --offline -X --debug -V", Means::Nothing),
            switch("-DskipTests -DskipTests=true -Dmaven.test.skip=true -Dmaven.test.skip -fae -ff -fn -nsu -am -amd", Means::Nothing),
            valued("-P --activate-profiles -T --threads -l -pl --projects --color -b --builder", Means::Nothing),
            valued("-f --file", Means::Path(Role::Local)),
            valued("-s --settings -gs --global-settings -t --toolchains", Means::Path(Role::File)),
        ],
        default: None,
        otherwise: Action::Build,
    },
    Tool {
        manager: Manager::Gradle,
        programs: "gradle gradlew",
        verbs: &[frozen("dependencies|:dependencies|resolveDependencies|downloadDependencies", Action::InstallDependencies, NONE)],
        flags: &[
            switch("--no-daemon --daemon -q --quiet --info --stacktrace -s --console=plain --parallel --no-parallel --refresh-dependencies", Means::Nothing),
            switch("--build-cache --no-build-cache --warning-mode=all --warning-mode=none --offline --continue --no-watch-fs -i -w --warn", Means::Nothing),
            switch("--configuration-cache --no-configuration-cache --no-scan", Means::Nothing),
            valued("--console --warning-mode --max-workers --configuration", Means::Nothing),
            valued("-g --gradle-user-home --project-cache-dir", Means::Path(Role::Output)),
            valued("-p --project-dir", Means::Path(Role::Folder)),
        ],
        default: None,
        otherwise: Action::Build,
    },
];

/// How many projects of a build are followed.
const MAX_PROJECTS: usize = 500;

pub(super) fn footprint(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    collector.touches_outside();
    let step = collector.step;
    for path in step.paths.iter().filter(|it| it.role == Role::Output) {
        collector.writes(Place::tree(join(collector.folder, &path.path)));
    }
    // The first goal or task is known; one behind it may be anything.
    if let Some(word) = step.operands.iter().find(|it| !it.text.ends_with(":go-offline") && !it.text.starts_with("dependency:resolve")) {
        return Err(Obstacle::in_script(word.span, format!("`{}` may read or write anything", word.text)));
    }
    wrapper(collector)?;
    if step.action == Action::Other {
        return Ok(());
    }
    match step.manager {
        Manager::Maven => maven(collector),
        _ => gradle(collector),
    }
}

/// A wrapper is a script beside the project; it is started from the folder of the shell, not from
/// the one that a flag names.
fn wrapper(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let Some(program) = collector.step.program_path.as_deref().filter(|it| !it.starts_with('/')) else { return Ok(()) };
    let path = join(&join(&collector.setting.directory, &collector.step.directory), program);
    if !collector.exists(&path)? {
        return Err(collector.obstacle(format!("`{program}` is not in the build context")));
    }
    if collector.step.manager == Manager::Gradle {
        collector.tree(&join(parent(&path), "gradle/wrapper"))?;
    }
    Ok(())
}

fn maven(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    for path in &step.paths {
        match path.role {
            Role::File => {
                let file = join(collector.folder, &path.path);
                collector.require(&file)?;
            }
            Role::Local => return Err(Obstacle::in_script(path.span, format!("`{}` is not followed", path.path))),
            _ => {}
        }
    }
    // Maven looks for `.mvn` upwards; an extension of it runs before anything else.
    for folder in up_to_root(collector.folder) {
        let extensions = join(&folder, ".mvn/extensions.xml");
        if collector.exists(&extensions)? {
            return Err(Obstacle::in_file(&extensions, None, "an extension of Maven may read or write the project"));
        }
        let arguments = join(&folder, ".mvn/maven.config");
        if let Some(text) = collector.optional(&arguments)?
            && let Some(word) = text.split_whitespace().find(|it| ["-f", "--file", "-s", "--settings", "-gs", "-t"].contains(it))
        {
            return Err(Obstacle::in_file(&arguments, locate_text(&text, word), format!("what `{word}` of `maven.config` names is not followed")));
        }
        collector.tree(&join(&folder, ".mvn"))?;
    }
    let mut pending = vec![join(collector.folder, "pom.xml")];
    let mut seen = BTreeSet::new();
    while let Some(path) = pending.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        if seen.len() > MAX_PROJECTS {
            return Err(collector.obstacle("too many modules to follow"));
        }
        let text = collector.require(&path)?;
        pending.extend(pom(collector, &path, &text)?);
    }
    Ok(())
}

/// The poms that a pom needs: those of its modules, and its parent's where that is on disk.
fn pom(collector: &mut Collector<'_>, path: &str, text: &str) -> Result<Vec<String>, Obstacle> {
    let document = xml(path, &collector.shown(path), text)?;
    let root = document.root_element();
    let folder = parent(path);
    let mut res = Vec::new();
    for node in root.descendants().filter(|it| it.is_element()) {
        let content = node.text().unwrap_or_default().trim();
        let span = Span::new(node.range().start, node.range().end);
        match node.tag_name().name() {
            "module" | "subproject" => {
                if content.contains("${") {
                    return Err(Obstacle::in_file(path, Some(span), format!("which module `{content}` is, is not known")));
                }
                let module = join(folder, content);
                res.push(if content.ends_with(".xml") { module } else { join(&module, "pom.xml") });
            }
            "systemPath" => return Err(Obstacle::in_file(path, Some(span), format!("`{}` takes a dependency from a file", collector.shown(path)))),
            _ => {}
        }
    }
    let parent_element = root.children().find(|it| it.has_tag_name("parent") || it.tag_name().name() == "parent");
    if let Some(node) = parent_element {
        let relative = node.children().find(|it| it.tag_name().name() == "relativePath").map(|it| it.text().unwrap_or_default().trim());
        res.extend(parent_pom(collector, folder, relative)?);
    }
    Ok(res)
}

/// An empty `relativePath` means that the parent is in a repository; none means `../pom.xml`, if
/// there is one.
fn parent_pom(collector: &mut Collector<'_>, folder: &str, relative: Option<&str>) -> Result<Option<String>, Obstacle> {
    let path = match relative {
        Some("") => return Ok(None),
        Some(it) if it.ends_with(".xml") => join(folder, it),
        Some(it) => join(&join(folder, it), "pom.xml"),
        None => join(parent(folder), "pom.xml"),
    };
    Ok(collector.exists(&path)?.then_some(path))
}

/// Names of build files and of what Gradle reads beside them.
const GRADLE_FILES: &[&str] = &[
    "build.gradle",
    "build.gradle.kts",
    "settings.gradle",
    "settings.gradle.kts",
    "gradle.properties",
    "gradle.lockfile",
    "buildscript-gradle.lockfile",
    "settings-gradle.lockfile",
];

/// Words of a build file that read files or run programs.
const GRADLE_READERS: &[&str] = &[
    "apply from",
    "apply(from",
    "from(",
    "file(",
    "files(",
    "fileTree",
    "includeBuild",
    "include(file",
    "File(",
    "readText",
    ".text",
    "exec",
    "Exec",
    "Process",
    "rootDir",
    "projectDir",
    "gitVersion",
    "git",
    "Properties()",
    "buildSrc",
    "flatDir",
    "fileProvider",
    "layout.",
    "System.getenv",
    "providers.",
    "pluginManagement.includeBuild",
    "load(",
];

fn gradle(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let folder = collector.folder.to_owned();
    for above in up_to_root(&folder).iter().skip(1) {
        for name in ["settings.gradle", "settings.gradle.kts"] {
            let path = join(above, name);
            if collector.exists(&path)? {
                return Err(Obstacle::in_file(&path, None, format!("`{path}` makes the folder part of a larger build")));
            }
        }
    }
    if collector.tree(&join(&folder, "buildSrc"))? {
        return Err(Obstacle::in_file(&join(&folder, "buildSrc"), None, "`buildSrc` is compiled first"));
    }
    for name in ["gradle/libs.versions.toml", "gradle/verification-metadata.xml", "gradle/gradle-daemon-jvm.properties"] {
        collector.exists(&join(&folder, name))?;
    }
    let mut projects: Vec<String> = vec![folder.clone()];
    for name in ["settings.gradle", "settings.gradle.kts"] {
        if let Some(text) = collector.optional(&join(&folder, name))? {
            projects.extend(included(&text).into_iter().map(|it| join(&folder, &it)));
        }
    }
    if projects.len() > MAX_PROJECTS {
        return Err(collector.obstacle("too many projects to follow"));
    }
    for project in &projects {
        let mut has_build = false;
        for name in GRADLE_FILES {
            let path = join(project, name);
            let Some(text) = collector.optional(&path)? else { continue };
            has_build |= name.contains("gradle.") || name.ends_with(".gradle");
            check_build_file(collector, &path, &text)?;
        }
        if !has_build && *project == folder {
            return Err(collector.obstacle("no build file of Gradle is in the build context"));
        }
        collector.writes(Place::tree(join(project, "build")));
    }
    collector.writes(Place::tree(join(&folder, ".gradle")));
    Ok(())
}

fn check_build_file(collector: &Collector<'_>, path: &str, text: &str) -> Result<(), Obstacle> {
    let is_program = path.ends_with(".gradle") || path.ends_with(".kts");
    let found = GRADLE_READERS.iter().find(|it| is_program && text.contains(**it));
    match found {
        Some(what) => Err(Obstacle::in_file(path, locate_text(text, what), format!("`{}` may read files of the project", collector.shown(path)))),
        None => Ok(()),
    }
}

/// Folders of projects in `include ':a', ':b:c'`.
fn included(settings: &str) -> Vec<String> {
    let mut res = Vec::new();
    let mut continues = false;
    for line in settings.lines().map(|it| it.split("//").next().unwrap_or_default().trim()) {
        let starts = line.strip_prefix("include").is_some_and(|it| it.starts_with([' ', '(', '\t']));
        if starts || continues {
            let names = line.split(['\'', '"']).skip(1).step_by(2);
            res.extend(names.map(|it| it.trim_start_matches(':').replace(':', "/")));
            continues = line.ends_with(',') || line.ends_with('(');
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::tests::{footprint_of, refusal};

    const POM: (&str, &str) = ("pom.xml", "<project><artifactId>a</artifactId></project>");

    #[test]
    fn maven_needs_all_poms() {
        assert_eq!(footprint_of("mvn -B dependency:go-offline", &[POM]), "needs pom.xml; writes nothing");
        let files = [
            ("pom.xml", "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modules><module>a</module><module>b/pom.xml</module></modules></project>"),
            ("a/pom.xml", "<project><parent><artifactId>x</artifactId></parent></project>"),
            ("b/pom.xml", "<project><parent><relativePath>../c</relativePath></parent></project>"),
            ("c/pom.xml", "<project><parent><relativePath/></parent></project>"),
            (".mvn/maven.config", ""),
            ("mvnw", ""),
        ];
        assert_eq!(
            footprint_of("./mvnw -q dependency:resolve", &files),
            "needs .mvn/maven.config a/pom.xml b/pom.xml c/pom.xml mvnw pom.xml .mvn/; writes nothing"
        );
        assert_eq!(footprint_of("mvn -s settings.xml dependency:go-offline", &[POM, ("settings.xml", "")]), "needs pom.xml settings.xml; writes nothing");
    }

    #[test]
    fn what_maven_may_read_besides_stands_in_the_way() {
        assert!(refusal("mvn package", &[POM]).contains("may read or write anything"));
        assert!(refusal("mvn dependency:go-offline package", &[POM]).contains("`package` may read or write anything"));
        assert!(refusal("./mvnw dependency:go-offline", &[POM]).contains("`./mvnw` is not in the build context"));
        assert!(refusal("mvn dependency:go-offline", &[("pom.xml", "<project><modules><module>${x}</module></modules></project>")]).contains("`${x}`"));
        assert!(refusal("mvn dependency:go-offline", &[("pom.xml", "<project><systemPath>x.jar</systemPath></project>")]).contains("from a file"));
        assert!(refusal("mvn dependency:go-offline", &[POM, (".mvn/extensions.xml", "")]).contains("extension"));
        assert!(refusal("mvn dependency:go-offline", &[POM, (".mvn/maven.config", "-s ci/settings.xml")]).contains("`-s`"));
        assert!(refusal("mvn dependency:go-offline", &[("pom.xml", "<project>")]).contains("not valid XML"));
        assert!(refusal("mvn -f x/pom.xml dependency:go-offline", &[POM]).contains("not followed"));
    }

    #[test]
    fn gradle_needs_build_files_and_its_wrapper() {
        let files = [
            ("build.gradle.kts", "plugins { java }\ndependencies { implementation(\"a:b:1\") }\n"),
            ("settings.gradle.kts", "rootProject.name = \"x\"\ninclude(\":a\", \":b:c\")\n"),
            ("a/build.gradle", ""),
            ("gradle/wrapper/gradle-wrapper.properties", ""),
            ("gradle/libs.versions.toml", ""),
            ("gradlew", ""),
        ];
        assert_eq!(
            footprint_of("./gradlew --no-daemon dependencies", &files),
            "needs a/build.gradle build.gradle.kts gradle/libs.versions.toml gradlew settings.gradle.kts gradle/wrapper/; writes .gradle/ a/build/ b/c/build/ build/"
        );
    }

    #[test]
    fn the_version_needs_the_wrapper_only() {
        let files = [("build.gradle", "apply from: 'x'"), ("gradle/wrapper/gradle-wrapper.properties", ""), ("gradlew", "")];
        assert_eq!(footprint_of("./gradlew --version", &files), "needs gradlew gradle/wrapper/; writes nothing");
    }

    #[test]
    fn what_gradle_may_read_besides_stands_in_the_way() {
        let build = ("build.gradle", "plugins { id 'java' }");
        assert!(footprint_of("gradle dependencies", &[build]).starts_with("needs build.gradle;"));
        assert!(refusal("gradle build", &[build]).contains("may read or write anything"));
        assert!(refusal("gradle dependencies build", &[build]).contains("`build` may read"));
        assert!(refusal("gradle dependencies", &[("build.gradle", "apply from: 'x.gradle'")]).contains("may read files of the project"));
        assert!(refusal("gradle dependencies", &[build, ("buildSrc/build.gradle", "")]).contains("`buildSrc` is compiled first"));
        assert!(refusal("gradle dependencies", &[build, ("settings.gradle", "includeBuild '../x'")]).contains("may read files"));
        assert!(refusal("gradle dependencies", &[]).contains("no build file"));
        assert!(refusal("cd a && gradle dependencies", &[("a/build.gradle", ""), ("settings.gradle", "")]).contains("larger build"));
    }
}
