//! Starts the server for Zed, and passes its settings.

use zed_extension_api::serde_json::{Value, json};
use zed_extension_api::settings::LspSettings;
use zed_extension_api::{Command, Extension, LanguageServerId, Result, Worktree, register_extension};

struct Layerwise;

impl Extension for Layerwise {
    fn new() -> Self {
        Layerwise
    }

    /// The program of `lsp.layerwise.binary`, else the one on the `PATH` of the folder. Nothing is
    /// downloaded.
    fn language_server_command(&mut self, server: &LanguageServerId, worktree: &Worktree) -> Result<Command> {
        let binary = LspSettings::for_worktree(server.as_ref(), worktree)?.binary;
        let (path, arguments) = binary.map(|it| (it.path, it.arguments)).unwrap_or_default();
        let command = path
            .or_else(|| worktree.which("layerwise"))
            .ok_or("`layerwise` is not on the PATH; the setting `lsp.layerwise.binary.path` names another place")?;
        Ok(Command { command, args: arguments.unwrap_or_else(|| vec!["server".to_owned()]), env: worktree.shell_env() })
    }

    /// `lsp.layerwise.settings`: the keys of `.layerwise.yaml`, below the section that the server asks
    /// for.
    fn language_server_workspace_configuration(&mut self, server: &LanguageServerId, worktree: &Worktree) -> Result<Option<Value>> {
        let settings = LspSettings::for_worktree(server.as_ref(), worktree)?.settings;
        Ok(Some(json!({"layerwise": settings.unwrap_or_default()})))
    }
}

register_extension!(Layerwise);
