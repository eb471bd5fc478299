//! The table of package managers. Each row names the place it was read from.

use super::arguments::Tool;
use super::{dotnet, go, jvm, node, php, python, ruby, rust, system};

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Manager {
    /// apt-get, apt, aptitude.
    Apt,
    /// apk.
    Apk,
    /// dnf, yum, microdnf, tdnf.
    Dnf,
    /// zypper.
    Zypper,
    /// npm.
    Npm,
    /// Yarn, classic and berry.
    Yarn,
    /// pnpm.
    Pnpm,
    /// bun.
    Bun,
    /// corepack, which installs package managers of Node.
    Corepack,
    /// pip.
    Pip,
    /// uv.
    Uv,
    /// Poetry.
    Poetry,
    /// Pipenv.
    Pipenv,
    /// Bundler and RubyGems.
    Bundler,
    /// Composer.
    Composer,
    /// Go modules.
    Go,
    /// Cargo, cargo-chef, rustup.
    Cargo,
    /// Maven.
    Maven,
    /// Gradle.
    Gradle,
    /// NuGet, through dotnet.
    Dotnet,
    /// No package manager: a plain command of the shell.
    Shell,
}

/// A folder that a manager keeps for later runs and nothing else reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cache {
    /// Where it is; `~` is the home of the user.
    pub folder: &'static str,
    /// The environment variable that moves it.
    pub variable: Option<&'static str>,
    /// Whether writers exclude each other, so that a shared mount has to be locked.
    pub locked: bool,
}

/// What is known of a manager, whatever its command line says.
#[derive(Debug)]
pub struct Ecosystem {
    /// Which one.
    pub manager: Manager,
    /// Its name in messages.
    pub name: &'static str,
    /// Names of its manifests.
    pub manifests: &'static [&'static str],
    /// Names of its lockfiles.
    pub lockfiles: &'static [&'static str],
    /// Names of files that it reads besides.
    pub configuration: &'static [&'static str],
    /// Folders that it makes in the project, relative to it.
    pub outputs: &'static [&'static str],
    /// Its caches.
    pub caches: &'static [Cache],
    /// Variables that it may read: a name, or the start of one followed by `*`; `*` for any.
    pub environment: &'static [&'static str],
    /// Where this was read: an address, or a section of the domain reference.
    pub source: &'static str,
}

const fn cache(folder: &'static str, variable: &'static str) -> Cache {
    Cache { folder, variable: Some(variable), locked: false }
}

const fn locked(folder: &'static str) -> Cache {
    Cache { folder, variable: None, locked: true }
}

/// Variables that any program may read (docs/facts.md B.10).
pub const COMMON_VARIABLES: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "SHELL",
    "LANG",
    "LC_*",
    "TZ",
    "TMPDIR",
    "LD_*",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_*",
    "CURL_*",
    // Those of git(1), "ENVIRONMENT VARIABLES"; a `GIT_SHA` of the project is none of them.
    "GIT_ALLOW_PROTOCOL",
    "GIT_ALTERNATE_*",
    "GIT_ASKPASS",
    "GIT_ATTR_*",
    "GIT_AUTHOR_*",
    "GIT_CEILING_*",
    "GIT_COMMITTER_*",
    "GIT_COMMON_DIR",
    "GIT_CONFIG*",
    "GIT_CURL_*",
    "GIT_DEFAULT_*",
    "GIT_DIR",
    "GIT_DISCOVERY_*",
    "GIT_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_HTTP_*",
    "GIT_INDEX_*",
    "GIT_LFS_*",
    "GIT_NAMESPACE",
    "GIT_OBJECT_*",
    "GIT_OPTIONAL_LOCKS",
    "GIT_PAGER",
    "GIT_PROTOCOL*",
    "GIT_PROXY_*",
    "GIT_SSH*",
    "GIT_SSL_*",
    "GIT_TEMPLATE_DIR",
    "GIT_TERMINAL_PROMPT",
    "GIT_TRACE*",
    "GIT_WORK_TREE",
    "SOURCE_DATE_EPOCH",
];

const NODE_VARIABLES: &[&str] = &["npm_*", "NODE_*", "YARN_*", "PNPM_*", "BUN_*", "COREPACK_*", "CI"];

const PYTHON_VARIABLES: &[&str] = &[
    "PIP_*",
    "UV_*",
    "POETRY_*",
    "PIPENV_*",
    "PYTHON*",
    "VIRTUAL_ENV",
    "CFLAGS",
    "CPPFLAGS",
    "CXXFLAGS",
    "LDFLAGS",
    "CC",
    "CXX",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
];

/// Every manager there is.
pub static ALL: &[Ecosystem] = &[
    Ecosystem {
        manager: Manager::Apt,
        name: "apt",
        manifests: &[],
        lockfiles: &[],
        configuration: &[],
        outputs: &[],
        caches: &[locked("/var/cache/apt"), locked("/var/lib/apt")],
        environment: &["DEBIAN_FRONTEND", "APT_*", "DEBCONF_*", "NEEDRESTART_*", "UCF_*"],
        source: "https://docs.docker.com/reference/dockerfile/#example-cache-apt-packages",
    },
    Ecosystem {
        manager: Manager::Apk,
        name: "apk",
        manifests: &[],
        lockfiles: &[],
        configuration: &[],
        outputs: &[],
        caches: &[locked("/var/cache/apk")],
        environment: &["APK_*"],
        source: "https://gitlab.alpinelinux.org/alpine/apk-tools/-/blob/master/doc/apk-cache.5.scd",
    },
    Ecosystem {
        manager: Manager::Dnf,
        name: "dnf",
        manifests: &[],
        lockfiles: &[],
        configuration: &[],
        outputs: &[],
        caches: &[locked("/var/cache/dnf"), locked("/var/cache/libdnf5"), locked("/var/cache/yum")],
        environment: &["DNF_*", "YUM*"],
        source: "docs/facts.md B.8, dnf",
    },
    Ecosystem {
        manager: Manager::Zypper,
        name: "zypper",
        manifests: &[],
        lockfiles: &[],
        configuration: &[],
        outputs: &[],
        caches: &[locked("/var/cache/zypp")],
        environment: &["ZYPP_*"],
        source: "docs/facts.md B.8, zypper",
    },
    Ecosystem {
        manager: Manager::Npm,
        name: "npm",
        manifests: &["package.json"],
        lockfiles: &["package-lock.json", "npm-shrinkwrap.json"],
        configuration: &[".npmrc"],
        outputs: &["node_modules"],
        caches: &[cache("~/.npm", "npm_config_cache")],
        environment: NODE_VARIABLES,
        source: "https://docs.npmjs.com/cli/commands/npm-ci",
    },
    Ecosystem {
        manager: Manager::Yarn,
        name: "yarn",
        manifests: &["package.json"],
        lockfiles: &["yarn.lock"],
        configuration: &[".yarnrc", ".yarnrc.yml", ".npmrc"],
        outputs: &["node_modules"],
        caches: &[
            Cache { folder: "/usr/local/share/.cache/yarn", variable: Some("YARN_CACHE_FOLDER"), locked: true },
            Cache { folder: "~/.cache/yarn", variable: Some("YARN_CACHE_FOLDER"), locked: true },
            Cache { folder: "~/.yarn/berry/cache", variable: Some("YARN_GLOBAL_FOLDER"), locked: true },
        ],
        environment: NODE_VARIABLES,
        source: "https://yarnpkg.com/features/caching",
    },
    Ecosystem {
        manager: Manager::Pnpm,
        name: "pnpm",
        manifests: &["package.json", "pnpm-workspace.yaml"],
        lockfiles: &["pnpm-lock.yaml"],
        configuration: &[".npmrc", ".pnpmfile.cjs"],
        outputs: &["node_modules"],
        caches: &[cache("/pnpm/store", "PNPM_HOME"), cache("~/.local/share/pnpm/store", "PNPM_HOME")],
        environment: NODE_VARIABLES,
        source: "https://pnpm.io/docker",
    },
    Ecosystem {
        manager: Manager::Bun,
        name: "bun",
        manifests: &["package.json"],
        lockfiles: &["bun.lock", "bun.lockb"],
        configuration: &["bunfig.toml", ".npmrc"],
        outputs: &["node_modules"],
        caches: &[cache("~/.bun/install/cache", "BUN_INSTALL_CACHE_DIR")],
        environment: NODE_VARIABLES,
        source: "docs/facts.md B.8, bun",
    },
    Ecosystem {
        manager: Manager::Corepack,
        name: "corepack",
        manifests: &["package.json"],
        lockfiles: &[],
        configuration: &[],
        outputs: &[],
        caches: &[cache("~/.cache/node/corepack", "COREPACK_HOME")],
        environment: NODE_VARIABLES,
        source: "https://github.com/nodejs/corepack#environment-variables",
    },
    Ecosystem {
        manager: Manager::Pip,
        name: "pip",
        manifests: &["requirements.txt", "constraints.txt"],
        lockfiles: &[],
        configuration: &["pip.conf"],
        outputs: &[],
        caches: &[cache("~/.cache/pip", "PIP_CACHE_DIR")],
        environment: PYTHON_VARIABLES,
        source: "https://pip.pypa.io/en/stable/topics/caching/",
    },
    Ecosystem {
        manager: Manager::Uv,
        name: "uv",
        manifests: &["pyproject.toml"],
        lockfiles: &["uv.lock"],
        configuration: &["uv.toml", ".python-version"],
        outputs: &[".venv"],
        caches: &[cache("~/.cache/uv", "UV_CACHE_DIR")],
        environment: PYTHON_VARIABLES,
        source: "https://docs.astral.sh/uv/guides/integration/docker/",
    },
    Ecosystem {
        manager: Manager::Poetry,
        name: "Poetry",
        manifests: &["pyproject.toml"],
        lockfiles: &["poetry.lock"],
        configuration: &["poetry.toml"],
        outputs: &[".venv"],
        caches: &[cache("~/.cache/pypoetry", "POETRY_CACHE_DIR")],
        environment: PYTHON_VARIABLES,
        source: "https://python-poetry.org/docs/faq/",
    },
    Ecosystem {
        manager: Manager::Pipenv,
        name: "Pipenv",
        manifests: &["Pipfile"],
        lockfiles: &["Pipfile.lock"],
        configuration: &[".env"],
        outputs: &[".venv"],
        caches: &[cache("~/.cache/pipenv", "PIPENV_CACHE_DIR"), cache("~/.cache/pip", "PIP_CACHE_DIR")],
        environment: PYTHON_VARIABLES,
        source: "docs/facts.md B.8, pipenv",
    },
    Ecosystem {
        manager: Manager::Bundler,
        name: "Bundler",
        manifests: &["Gemfile"],
        lockfiles: &["Gemfile.lock"],
        configuration: &[".ruby-version", ".bundle/config"],
        outputs: &["vendor/bundle"],
        caches: &[cache("~/.bundle/cache", "BUNDLE_USER_CACHE")],
        environment: &["BUNDLE_*", "GEM_*", "RUBY*", "RAILS_*", "CC", "CXX", "CFLAGS", "LDFLAGS"],
        source: "https://bundler.io/man/bundle-config.1.html",
    },
    Ecosystem {
        manager: Manager::Composer,
        name: "Composer",
        manifests: &["composer.json"],
        lockfiles: &["composer.lock"],
        configuration: &["auth.json"],
        outputs: &["vendor"],
        caches: &[cache("~/.cache/composer", "COMPOSER_CACHE_DIR"), cache("/tmp/cache", "COMPOSER_CACHE_DIR")],
        environment: &["COMPOSER_*", "PHP_*", "PHPRC"],
        source: "https://getcomposer.org/doc/06-config.md",
    },
    Ecosystem {
        manager: Manager::Go,
        name: "Go",
        manifests: &["go.mod", "go.work"],
        lockfiles: &["go.sum", "go.work.sum"],
        configuration: &[],
        outputs: &[],
        caches: &[cache("/go/pkg/mod", "GOMODCACHE"), cache("~/.cache/go-build", "GOCACHE")],
        environment: &["GO*", "CGO_*", "CC", "CXX"],
        source: "https://docs.docker.com/build/cache/optimize/",
    },
    Ecosystem {
        manager: Manager::Cargo,
        name: "Cargo",
        manifests: &["Cargo.toml"],
        lockfiles: &["Cargo.lock"],
        configuration: &[".cargo/config.toml", "rust-toolchain.toml", "rust-toolchain"],
        outputs: &["target"],
        caches: &[cache("/usr/local/cargo/registry", "CARGO_HOME"), cache("/usr/local/cargo/git/db", "CARGO_HOME")],
        environment: &["CARGO_*", "RUST*", "CC*", "CXX*", "CFLAGS*", "AR*", "PKG_CONFIG*", "OPENSSL_*"],
        source: "https://doc.rust-lang.org/cargo/guide/cargo-home.html",
    },
    Ecosystem {
        manager: Manager::Maven,
        name: "Maven",
        manifests: &["pom.xml"],
        lockfiles: &[],
        configuration: &[".mvn"],
        outputs: &["target"],
        caches: &[cache("~/.m2/repository", "MAVEN_OPTS")],
        environment: &["MAVEN_*", "MVNW_*", "M2_*", "JAVA_*", "JDK_*"],
        source: "docs/facts.md B.8, maven",
    },
    Ecosystem {
        manager: Manager::Gradle,
        name: "Gradle",
        manifests: &["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"],
        lockfiles: &["gradle.lockfile"],
        configuration: &["gradle.properties", "gradle/libs.versions.toml", "gradle/wrapper/gradle-wrapper.properties"],
        outputs: &[".gradle", "build"],
        caches: &[
            Cache { folder: "~/.gradle/caches", variable: Some("GRADLE_USER_HOME"), locked: true },
            Cache { folder: "~/.gradle/wrapper", variable: Some("GRADLE_USER_HOME"), locked: true },
        ],
        environment: &["GRADLE_*", "ORG_GRADLE_*", "JAVA_*", "JDK_*"],
        source: "docs/facts.md B.8, gradle",
    },
    Ecosystem {
        manager: Manager::Dotnet,
        name: "NuGet",
        manifests: &[],
        lockfiles: &["packages.lock.json"],
        configuration: &["Directory.Build.props", "Directory.Build.targets", "Directory.Packages.props", "NuGet.config", "global.json"],
        outputs: &["obj", "bin"],
        caches: &[cache("~/.nuget/packages", "NUGET_PACKAGES")],
        // MSBuild takes any variable for a property.
        environment: &["*"],
        source: "https://docs.docker.com/build/cache/optimize/",
    },
];

/// A command of the shell reads what is written in it, and what any program may read.
static SHELL: Ecosystem = Ecosystem {
    manager: Manager::Shell,
    name: "the shell",
    manifests: &[],
    lockfiles: &[],
    configuration: &[],
    outputs: &[],
    caches: &[],
    environment: &[],
    source: "docs/facts.md B.10",
};

/// What is known of a manager.
pub fn ecosystem(manager: Manager) -> &'static Ecosystem {
    ALL.iter().find(|it| it.manager == manager).unwrap_or(&SHELL)
}

/// Command lines, by ecosystem.
pub(super) static TOOLS: &[&[Tool]] = &[system::TOOLS, node::TOOLS, python::TOOLS, ruby::TOOLS, php::TOOLS, go::TOOLS, rust::TOOLS, jvm::TOOLS, dotnet::TOOLS];
