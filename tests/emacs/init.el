;;; init.el --- Nothing but what editors/emacs/README.md tells users to do  -*- lexical-binding: t -*-

;; An Emacs that is unpacked and not installed has no compiler.
(setq native-comp-enable-subr-trampolines nil
      native-comp-jit-compilation nil)

(add-to-list 'load-path "~/.emacs.d/lisp")
;; What `package-initialize' does for packages that are installed.
(dolist (it (file-expand-wildcards (expand-file-name "*/*-autoloads.el" (getenv "LAYERWISE_PACKAGES"))))
  (add-to-list 'load-path (file-name-directory it))
  (load it nil t))

(if (equal (getenv "LAYERWISE_CLIENT") "eglot")
    (require 'layerwise-eglot)
  (require 'layerwise-lsp)
  (dolist (it '(dockerfile-mode-hook yaml-mode-hook))
    (add-hook it #'lsp-deferred))
  ;; Questions that a batch cannot answer.
  (setq lsp-auto-guess-root t
        lsp-restart 'auto-restart
        lsp-diagnostics-provider :flymake
        lsp-enable-suggest-server-download nil
        lsp-session-file (expand-file-name "session" user-emacs-directory)))
