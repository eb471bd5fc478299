//! Real installs, from the registries that this machine reaches.

use crate::conditions::{Files, ROOT};
use layerwise::facts;
use std::process::Command;

/// A project that installs something small, by the name of its manager. `image` gives the full name of an image.
pub fn workspaces(image: impl Fn(&str) -> String) -> Vec<(&'static str, Files)> {
    let files = |files: &[(&str, &str)]| -> Files { files.iter().map(|(path, text)| (facts::join(ROOT, path), (*text).to_owned())).collect() };
    // A lockfile that names no registry takes the packages from the one that is configured.
    let lockfile = r#"{"name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {
  "": {"name": "app", "version": "1.0.0", "dependencies": {"semver": "7.6.3"}},
  "node_modules/semver": {"version": "7.6.3", "bin": {"semver": "bin/semver.js"}, "engines": {"node": ">=10"}}
}}
"#;
    vec![
        (
            "npm",
            files(&[
                (".dockerignore", "node_modules\n"),
                ("package.json", "{\"name\": \"app\", \"version\": \"1.0.0\", \"dependencies\": {\"semver\": \"7.6.3\"}}\n"),
                ("package-lock.json", lockfile),
                ("src/index.js", "console.log(require('semver').valid('1.2.3'))\n"),
                (
                    "Dockerfile",
                    &format!(
                        "FROM {}\nWORKDIR /app\nCOPY . .\nRUN npm ci\nRUN node src/index.js > /version\nCMD [\"node\", \"src/index.js\"]\n",
                        image("node")
                    ),
                ),
            ]),
        ),
        (
            "pip",
            files(&[
                (".dockerignore", ".venv\n"),
                ("requirements.txt", "-r requirements/base.txt\nidna==3.10\n"),
                ("requirements/base.txt", "six==1.17.0\n"),
                ("src/app.py", "import six, idna\nprint(six.__version__, idna.__version__)\n"),
                (
                    "Dockerfile",
                    &format!("FROM {}\nWORKDIR /app\nCOPY . .\nRUN pip install -r requirements.txt\nRUN python3 src/app.py > /version\n", image("python")),
                ),
            ]),
        ),
        (
            "apt",
            files(&[
                ("src/app.sh", "#!/bin/sh\ntree --version\n"),
                (
                    "Dockerfile",
                    &format!(
                        "FROM {}\nCOPY src /app\nRUN apt-get update && apt-get install -y --no-install-recommends tree\nRUN /app/app.sh > /version\n",
                        image("debian")
                    ),
                ),
            ]),
        ),
    ]
}

/// The full name of an image of this engine, whose version is that of the machine.
pub fn image(name: &str) -> String {
    let output = Command::new("docker").args(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", &format!("reference={name}")]).output();
    let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_else(|| panic!("the engine has no image {name}")).to_owned()
}
