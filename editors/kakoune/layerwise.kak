# Layerwise in Kakoune. It takes the place of the servers that kakoune-lsp has for Dockerfiles; those for
# other YAML stay.

evaluate-commands %sh{ kak-lsp }
remove-hooks global lsp-filetype-dockerfile

define-command -hidden layerwise-enable %{
    set-option buffer lsp_servers %{
        [layerwise]
        command = "layerwise"
        args = ["server"]
        root_globs = [".git", ".hg"]

        [layerwise.settings.layerwise]
        # rules = { floating-base-image = "off" }
    }
}

hook -group layerwise global BufSetOption filetype=dockerfile layerwise-enable
hook -group layerwise global BufSetOption filetype=yaml %{
    evaluate-commands %sh{
        case "$kak_buffile" in
            */.github/workflows/* | */.gitea/workflows/* | */.forgejo/workflows/*) echo layerwise-enable ;;
        esac
    }
}
hook -group layerwise global WinSetOption filetype=(dockerfile|yaml) lsp-enable-window
