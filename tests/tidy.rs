//! What holds for the sources as a whole: layers, owners of crates, generated documents.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Bottom to top, as `src/lib.rs` lists them. A module names only itself and those before it.
fn layers() -> Vec<String> {
    let text = fs::read_to_string("src/lib.rs").unwrap();
    text.lines().filter_map(|it| it.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

/// Only these modules may name that crate.
const OWNERS: &[(&str, &[&str])] = &[
    ("tower_lsp", &["server"]),
    ("tokio", &["server", "main"]),
    ("tree_sitter", &["text", "syntax", "file"]),
    ("ropey", &["text", "server"]),
    ("clap", &["cli", "main"]),
    ("annotate_snippets", &["cli"]),
    ("anyhow", &["main"]),
    ("std::fs", &["workspace"]),
    ("std::process", &["main", "cli", "workspace"]),
    ("std::net", &[]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// Each source file with the layer it belongs to and its text without tests and comments.
fn modules() -> Vec<(PathBuf, String, String)> {
    let mut found = Vec::new();
    sources(Path::new("src"), &mut found);
    found.sort();
    let module = |path: &Path| path.components().nth(1).unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
    found
        .into_iter()
        .filter(|it| it.file_name().is_some_and(|it| it != "lib.rs" && it != "testing.rs" && it != "tests.rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let code = code.lines().filter(|it| !it.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            (path.clone(), module(&path), code)
        })
        .collect()
}

#[test]
fn layers_point_down() {
    let layers = layers();
    for (path, module, code) in modules() {
        let Some(layer) = layers.iter().position(|it| *it == module) else { continue };
        for rest in code.split("crate::").skip(1) {
            let names: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap().split(',').map(|it| it.trim().split("::").next().unwrap()).collect(),
                None => vec![rest.split(|it: char| !it.is_alphanumeric() && it != '_').next().unwrap()],
            };
            for name in names {
                let Some(used) = layers.iter().position(|it| it == name) else { continue };
                assert!(used <= layer, "{} reaches up to `{name}`", path.display());
            }
        }
    }
}

#[test]
fn crates_have_owners() {
    for (path, module, code) in modules() {
        for (name, owners) in OWNERS {
            let named = code.contains(&format!("{name}::")) || code.contains(&format!("use {name};"));
            assert!(!named || owners.contains(&module.as_str()), "{} names `{name}`", path.display());
        }
    }
}

#[test]
fn positions_of_the_protocol_stay_in_one_file() {
    for (path, module, code) in modules() {
        let named = module == "server" && (code.contains("Position {") || code.contains("Position::new") || code.contains("utf16"));
        assert!(!named || path.ends_with("server/convert.rs"), "{} makes a position", path.display());
    }
}

#[test]
fn no_module_is_a_drawer() {
    for (path, ..) in modules() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(!["utils", "util", "common", "helpers", "misc", "prelude"].contains(&name), "{}", path.display());
    }
}

/// Compares a generated file, or writes it where `UPDATE` is set.
fn generated(path: &str, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, text).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert!(kept == text, "{path} is out of date: run `UPDATE=1 cargo test --test tidy`");
}

#[test]
fn the_documentation_of_the_rules_is_current() {
    generated("docs/rules.md", &layerwise::rules::documentation());
}

/// JSON with a line for each setting's keys, and for each rule.
fn written(value: &Value, indent: usize) -> String {
    match value.as_object().filter(|_| indent < 12 && value.to_string().len() > 100) {
        Some(fields) => {
            let fields: Vec<String> = fields.iter().map(|(key, it)| format!("{:indent$}  \"{key}\": {}", "", written(it, indent + 2))).collect();
            format!("{{\n{}\n{:indent$}}}", fields.join(",\n"), "")
        }
        None => value.to_string(),
    }
}

/// The setting of VS Code for a key of the configuration, which has a default and Markdown.
fn setting(key: &Value) -> Value {
    let mut res = key.clone();
    res["markdownDescription"] = res["description"].take();
    // The server has one configuration, whatever folders there are.
    res["scope"] = json!("window");
    res["default"] = match key["type"].as_str() {
        Some("object") => json!({}),
        Some("array") => json!([]),
        _ => key["enum"][0].clone(),
    };
    if res["default"].is_null() {
        res["type"] = json!([key["type"], "null"]);
    }
    res.as_object_mut().unwrap().remove("description");
    res
}

#[test]
fn the_settings_of_vs_code_are_those_of_the_configuration() {
    let path = "editors/vscode/package.json";
    let manifest = fs::read_to_string(path).unwrap();
    let rules: Vec<_> = layerwise::rules::ALL.iter().map(|it| (it.name, it.summary(), it.level)).collect();
    let schema = layerwise::config::schema(&rules);
    let settings = schema["properties"].as_object().unwrap().iter();
    let settings: String = settings.map(|(name, key)| format!("        \"layerwise.{name}\": {},\n", written(&setting(key), 8))).collect();
    // They stand between the two that are for the extension alone.
    let start =
        manifest.find("        \"layerwise.path\": ").and_then(|at| Some(at + manifest[at..].find("\n        },\n")? + "\n        },\n".len())).unwrap();
    let end = manifest.find("        \"layerwise.trace.server\": ").unwrap();
    generated(path, &format!("{}{settings}{}", &manifest[..start], &manifest[end..]));
}

/// Lines with the version, which is that of Cargo.toml.
const VERSIONS: &[(&str, &str)] = &[
    ("editors/vscode/package.json", "  \"version\": \"{}\","),
    ("editors/vscode/package-lock.json", "  \"version\": \"{}\","),
    ("action.yml", "    default: {}"),
    ("pyproject.toml", "version = \"{}\""),
    ("pyproject.toml", "dependencies = [\"layerwise=={}\"]"),
    ("README.md", "- uses: layerwise/layerwise@v{}"),
    ("README.md", "  rev: v{}"),
];

#[test]
fn every_file_has_the_version_of_the_package() {
    for (path, line) in VERSIONS {
        let line = line.replace("{}", env!("CARGO_PKG_VERSION"));
        assert!(fs::read_to_string(path).unwrap().lines().any(|it| it == line), "{path} lacks the line: {line}");
    }
}
