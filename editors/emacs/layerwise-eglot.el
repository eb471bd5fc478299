;;; layerwise-eglot.el --- Layerwise with Eglot  -*- lexical-binding: t -*-

;;; Commentary:

;; For Emacs 29 or newer.  Put this file into a folder of your `load-path', and
;; (require 'layerwise-eglot) into your init file.

;;; Code:

(require 'eglot)
(require 'yaml-mode)

;; Eglot has one server for a buffer.  With a mode of their own, workflows have this one, and other
;; YAML keeps what it had.
(define-derived-mode layerwise-workflow-mode yaml-mode "Workflow"
  "Major mode for workflows and actions of GitHub, Gitea and Forgejo.")

(dolist (it '("/\\.\\(?:github\\|gitea\\|forgejo\\)/workflows/[^/]+\\.ya?ml\\'"
              "/action\\.ya?ml\\'"))
  (add-to-list 'auto-mode-alist (cons it 'layerwise-workflow-mode)))

(defconst layerwise-modes '(dockerfile-mode dockerfile-ts-mode layerwise-workflow-mode)
  "Major modes that Layerwise has something to say in.")

(add-to-list 'eglot-server-programs `(,layerwise-modes . ("layerwise" "server")))

(dolist (it layerwise-modes)
  (add-hook (intern (format "%s-hook" it)) #'eglot-ensure))

(defun layerwise-fix-all ()
  "Apply all safe fixes of the file, if there are any."
  (interactive)
  (when (eglot-code-actions (point-min) (point-max) "source.fixAll.layerwise")
    (eglot-code-actions (point-min) (point-max) "source.fixAll.layerwise" t)))

(provide 'layerwise-eglot)
;;; layerwise-eglot.el ends here
