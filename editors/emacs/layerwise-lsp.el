;;; layerwise-lsp.el --- Layerwise with lsp-mode  -*- lexical-binding: t -*-

;;; Commentary:

;; Put this file into a folder of your `load-path', and (require 'layerwise-lsp) into your init file.

;;; Code:

(require 'lsp-mode)

(defcustom layerwise-rules nil
  "Levels of rules, as an alist: \\='((floating-base-image . \"off\"))."
  :type '(alist :key-type symbol :value-type string)
  :group 'lsp-mode)

(defcustom layerwise-builder nil
  "What builds the images: buildkit, classic, buildah or kaniko."
  :type '(choice (const nil) string)
  :group 'lsp-mode)

(lsp-register-custom-settings '(("layerwise.rules" layerwise-rules) ("layerwise.builder" layerwise-builder)))

(defconst layerwise-files
  (concat "/\\(?:"
          (mapconcat #'identity
                     '("\\.\\(?:github\\|gitea\\|forgejo\\)/workflows/[^/]+\\.ya?ml"
                       "action\\.ya?ml"
                       "\\(?:docker-\\)?compose[^/]*\\.ya?ml"
                       "docker-bake[^/]*\\.\\(?:hcl\\|json\\)")
                     "\\|")
          "\\)\\'")
  "Files, besides Dockerfiles, that Layerwise has something to say of.")

(defun layerwise-file-p (file mode)
  "Whether Layerwise has something to say of FILE, which is shown in MODE."
  (or (memq mode '(dockerfile-mode dockerfile-ts-mode))
      (string-match-p layerwise-files file)))

;; It runs beside the servers that are there for Dockerfiles and for YAML.
(lsp-register-client
 (make-lsp-client :new-connection (lsp-stdio-connection '("layerwise" "server"))
                  :activation-fn #'layerwise-file-p
                  :add-on? t
                  :completion-in-comments? t
                  :server-id 'layerwise))

(provide 'layerwise-lsp)
;;; layerwise-lsp.el ends here
