# Layerwise in Kakoune. In its files it takes the place of other servers; those for other YAML stay.

evaluate-commands %sh{ kak-lsp }

define-command -hidden layerwise-servers %{
    set-option buffer lsp_servers %{
        [layerwise]
        command = "layerwise"
        args = ["server"]
        root_globs = [".git", ".hg"]

        [layerwise.settings.layerwise]
        # rules = { floating-base-image = "off" }
    }
}

# Not enabled twice where you enable servers yourself.
define-command -hidden layerwise-window %{ try lsp-enable-window }

# Workflows, composite actions and compose files are YAML to Kakoune.
define-command -hidden layerwise-if-ours -params 1 %{
    evaluate-commands %sh{
        case "$kak_buffile" in
            */.github/workflows/* | */.gitea/workflows/* | */.forgejo/workflows/*) echo "$1" ;;
            */action.yml | */action.yaml | */compose*.yml | */compose*.yaml | */docker-compose*.yml | */docker-compose*.yaml) echo "$1" ;;
        esac
    }
}

hook -group layerwise global BufSetOption filetype=dockerfile layerwise-servers
hook -group layerwise global BufSetOption filetype=yaml %{ layerwise-if-ours layerwise-servers }
hook -group layerwise global WinSetOption filetype=dockerfile layerwise-window
hook -group layerwise global WinSetOption filetype=yaml %{ layerwise-if-ours layerwise-window }
