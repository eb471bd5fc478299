;;; e2e.el --- Works through the example project as a person would, and says what it sees  -*- lexical-binding: t -*-

;; Ends with status 1 at the first thing that is not as expected.

;;; Code:

(require 'cl-lib)
(require 'flymake)

(defconst patience 30
  "Seconds: long enough for a machine that is busy with something else; nothing waits for its own sake.")

(defconst project (file-name-as-directory (file-truename (getenv "LAYERWISE_PROJECT"))))
(defconst eglot (equal (getenv "LAYERWISE_CLIENT") "eglot"))
(defconst started (float-time))

(defconst order '("copy-before-install" "copy-before-system-packages"))

(defun say (format &rest values)
  (princ (format "%7.0f ms  %s\n" (* 1000 (- (float-time) started)) (apply #'format format values)) #'external-debugging-output))

(defun fail (format &rest values)
  (say "FAILED: %s" (apply #'format format values))
  (when eglot
    (ignore-errors
      (say "%s" (with-current-buffer (jsonrpc-events-buffer (eglot-current-server)) (buffer-substring (max 1 (- (point-max) 2000)) (point-max))))))
  (kill-emacs 1))

(defun await (what condition &optional seen)
  "Waits until CONDITION holds.  If it never does, SEEN tells what there is instead of WHAT."
  (let* ((end (+ (float-time) patience))
         holds
         (look (lambda ()
                 (when (or (setq holds (or holds (funcall condition))) (> (float-time) end))
                   ;; A key, which ends the wait below.
                   (push 'f35 unread-command-events))))
         (timer (run-with-timer 0 0.02 look)))
    ;; Only when it waits for a key without end is Emacs idle, and clients tell of changes when it is.
    (while (and (not holds) (< (float-time) end))
      (read-event))
    (cancel-timer timer)
    (setq unread-command-events nil)
    (if holds
        (say "%s" what)
      (fail "waited in vain: %s\n  there is: %S" what (and seen (funcall seen))))))

(defun equally (what actual expected)
  (if (equal actual expected)
      (say "%s" what)
    (fail "%s\n--- expected\n%s\n--- there is\n%s" what expected actual)))

(defun show (buffer)
  "Shows BUFFER as a person does: what is never shown has no server."
  (switch-to-buffer buffer)
  (run-hooks 'post-command-hook)
  (redisplay)
  buffer)

(defun visit (path)
  (show (find-file-noselect (expand-file-name path project))))

(defun name ()
  (string-remove-prefix project (file-truename buffer-file-name)))

(defun text ()
  (buffer-substring-no-properties (point-min) (point-max)))

(defun on-disk (file)
  "The text of FILE, with the line ends that it has."
  (with-temp-buffer
    (let ((coding-system-for-read 'utf-8-unix))
      (insert-file-contents file))
    (text)))

;; What the files of the example are after all safe moves, and after all safe fixes.
(defconst reordered (on-disk "tests/editors/expected/Dockerfile"))
(defconst site-repaired (on-disk "tests/editors/expected/web/Dockerfile"))

(defun found (buffer)
  "What is found in BUFFER: rules, each with the text that is underlined."
  (with-current-buffer buffer
    (if eglot
        ;; As Flymake shows it, where the rule stands before the message.
        (mapcar (lambda (it)
                  (let ((text (flymake-diagnostic-text it)))
                    (cons (and (string-match "\\[\\([a-z-]+\\)\\]" text) (match-string 1 text))
                          (buffer-substring-no-properties (flymake-diagnostic-beg it) (flymake-diagnostic-end it)))))
                (flymake-diagnostics))
      (mapcar (lambda (it)
                (pcase-let ((`(,beginning . ,end) (lsp--range-to-region (lsp:diagnostic-range it))))
                  (cons (lsp:diagnostic-code? it) (buffer-substring-no-properties beginning end))))
              (gethash (lsp--fix-path-casing buffer-file-name) (lsp-diagnostics t))))))

(defun has (buffer present &optional absent)
  "Waits until BUFFER has findings of the rules PRESENT, and none of those ABSENT."
  (show buffer)
  (await (format "%s: %s" (name) (string-join (append present (mapcar (lambda (it) (concat "no " it)) absent)) ", "))
         (lambda ()
           (let ((rules (mapcar #'car (found buffer))))
             (and (cl-subsetp present rules :test #'equal)
                  (not (cl-intersection absent rules :test #'equal)))))
         (lambda () (found buffer))))

(defun go-to (needle)
  (goto-char (point-min))
  (unless (search-forward needle nil t)
    (fail "%s has no %s:\n%s" (name) needle (text)))
  (goto-char (match-beginning 0)))

(defun type-over (buffer old new)
  (show buffer)
  (go-to old)
  (delete-char (length old))
  (insert new))

(defun revert (buffer)
  (with-current-buffer buffer
    (revert-buffer t t t)))

(defun server ()
  "The process of the server."
  (if eglot
      (and (eglot-current-server) (jsonrpc--process (eglot-current-server)))
    (and (car (lsp-workspaces)) (lsp--workspace-cmd-proc (car (lsp-workspaces))))))

(defun act (kind &optional only)
  "Applies the only action of a KIND at point, or the one whose title begins with ONLY."
  (if eglot
      (let ((actions (eglot-code-actions (line-beginning-position) (line-end-position) kind)))
        (say "  offered: %s" (string-join (mapcar (lambda (it) (plist-get it :title)) actions) "; "))
        (eglot-execute (eglot-current-server)
                       (or (cl-find-if (lambda (it) (string-prefix-p (or only "") (plist-get it :title))) actions)
                           (fail "no action %s %s" kind only))))
    (let ((actions (lsp-code-actions-at-point kind)))
      (say "  offered: %s" (string-join (mapcar #'lsp:code-action-title actions) "; "))
      (lsp-execute-code-action (or (cl-find-if (lambda (it) (string-prefix-p (or only "") (lsp:code-action-title it))) actions)
                                   (fail "no action %s %s" kind only))))))

(defun hover ()
  "What is said of the thing at point."
  (if eglot
      (let (said)
        (eglot-hover-eldoc-function (lambda (text &rest _) (setq said (or text ""))))
        (await "an answer" (lambda () said))
        (substring-no-properties said))
    (format "%S" (lsp-request "textDocument/hover" (lsp--text-document-position-params)))))

(defun fix-all ()
  (if eglot (layerwise-fix-all) (lsp-fix-all)))

(defun set-rules (rules)
  "Sets the levels of RULES as a user does, without a new start."
  (if (not eglot)
      (progn
        (setq layerwise-rules rules)
        (lsp--set-configuration (lsp-configuration-section "layerwise")))
    (let ((levels (mapcan (lambda (it) (list (intern (format ":%s" (car it))) (cdr it))) rules)))
      (setq-default eglot-workspace-configuration (and levels `(:layerwise (:rules ,levels)))))
    (eglot-signal-didChangeConfiguration (eglot-current-server))))

(defun completions ()
  "What can stand at point."
  (pcase-let ((`(,_ ,_ ,_ ,table . ,_) (run-hook-wrapped 'completion-at-point-functions #'completion--capf-wrapper 'all)))
    (all-completions "" table)))

(defun findings (api workflow)
  "Findings of both languages, and what is said of one."
  (has api (append order '("floating-base-image")))
  (has workflow '("workflow-named-cache-scope" "min-cache-mode"))
  (show api)
  (go-to "COPY ./app")
  (let ((said (hover)))
    (if (string-search "Dependencies are installed after the sources are copied" said)
        (say "a hover with the summary of the rule")
      (fail "the hover is: %s" said))))

(defun reordering (api)
  (show api)
  (go-to "COPY ./app")
  (act "refactor.rewrite" "Reorder stage `FROM ubuntu:latest` for caching")
  (equally "the Dockerfile is in the order of the cache" (text) reordered)
  (has api '("floating-base-image") order)
  (revert api)
  (has api order)
  (show api)
  (go-to "COPY ./app")
  (act "quickfix" "Install the system packages first")
  (has api '("copy-before-install") '("copy-before-system-packages"))
  (show api)
  (go-to "COPY ./app")
  (act "quickfix" "Install from the manifests first")
  (equally "two quick fixes do what the reordering does" (text) reordered)
  (revert api)
  (has api order))

(defun across-files (site workflow)
  "What an unsaved workflow passes shows in the Dockerfile beside it."
  (has site '("volatile-arg-before-run" "copy-before-install"))
  (type-over workflow "${{ github.sha }}" "1.4.0")
  (has site '("copy-before-install") '("volatile-arg-before-run"))
  (has workflow '("min-cache-mode") '("volatile-arg-before-run"))
  (type-over workflow "1.4.0" "${{ github.sha }}")
  (has site '("volatile-arg-before-run"))
  (has workflow '("volatile-arg-before-run")))

(defun positions (site)
  "Characters of two UTF-16 units and four bytes, in the line and in a line above it; line ends of two."
  (type-over site "ARG APP_VERSION=dev" "# 📦🧭 built from\nARG ICON=🚀 APP_VERSION=dev")
  (await "the finding stands behind the emoji"
         (lambda () (equal (cdr (assoc "volatile-arg-before-run" (found site))) "APP_VERSION=dev"))
         (lambda () (found site)))
  (revert site)
  (let ((file (buffer-file-name site)))
    (with-temp-file (concat file ".crlf")
      (set-buffer-file-coding-system 'utf-8-dos)
      (insert "FROM alpine:3.20\nARG ICON=🚀 GIT_SHA\nRUN apk add git\nRUN echo $GIT_SHA\n"))
    (let ((other (concat (file-name-directory file) "other.Dockerfile")))
      (rename-file (concat file ".crlf") other)
      (let ((buffer (visit (file-relative-name other project))))
        (equally "a file whose lines end in CRLF" buffer-file-coding-system 'utf-8-dos)
        (await "has its findings in their places"
               (lambda () (equal (cdr (assoc "volatile-arg-before-run" (found buffer))) "GIT_SHA"))
               (lambda () (found buffer)))
        (go-to "ARG ICON")
        (act "refactor.rewrite")
        (equally "and is reordered" (text) "FROM alpine:3.20\nRUN apk add git\nARG ICON=🚀 GIT_SHA\nRUN echo $GIT_SHA\n")
        (save-buffer)
        (equally "with its line ends" (on-disk other)
                 "FROM alpine:3.20\r\nRUN apk add git\r\nARG ICON=🚀 GIT_SHA\r\nRUN echo $GIT_SHA\r\n")
        (kill-buffer buffer)))))

(defun fixes-on-save (site workflow)
  "All safe fixes when a file is saved, as the README says."
  (show site)
  (add-hook 'before-save-hook #'fix-all nil t)
  (set-buffer-modified-p t)
  (save-buffer)
  (equally "saving repairs the file on disk" (on-disk (buffer-file-name site)) site-repaired)
  (has site nil '("volatile-arg-before-run" "copy-before-install"))
  (has workflow '("min-cache-mode") '("volatile-arg-before-run")))

(defun settings (workflow)
  "A rule that is switched off while the server runs."
  (with-current-buffer workflow
    (let ((before (process-id (server))))
      (set-rules '((min-cache-mode . "off")))
      (has workflow '("workflow-named-cache-scope") '("min-cache-mode"))
      (set-rules nil)
      (has workflow '("workflow-named-cache-scope" "min-cache-mode"))
      (equally "by the same server" (process-id (server)) before))))

(defun names-of-rules (site)
  (show site)
  (goto-char (point-min))
  (insert "# layerwise: ignore[\n")
  (backward-char)
  (let ((names (completions)))
    (unless (and (cl-find-if (lambda (it) (string-search "floating-base-image" it)) names)
                 (not (cl-find-if (lambda (it) (string-search "min-cache-mode" it)) names)))
      (fail "completions are %S" names)))
  (say "the names of rules are completed")
  (revert site))

(defun crash (workflow)
  "A server that is killed comes back."
  (show workflow)
  (when eglot
    ;; One that ends at once is not started again.
    (await "the server has lived long enough" (lambda () (not (eglot--inhibit-autoreconnect (eglot-current-server))))))
  (let ((before (process-id (server))))
    (signal-process before 'KILL)
    (await "the server is killed, and another one is there"
           (lambda ()
             (let ((now (with-current-buffer workflow (server))))
               (and now (process-live-p now) (/= (process-id now) before)))))
    (type-over workflow "${{ github.workflow }}" "site")
    (has workflow '("min-cache-mode"))))

(defun main ()
  (say "Emacs %s with %s" emacs-version (if eglot "Eglot" "lsp-mode"))
  ;; Messages that are of no use here, and a question for buffers that are not saved.
  (setq make-backup-files nil create-lockfiles nil confirm-kill-processes nil)
  (let* ((api (visit "Dockerfile"))
         (workflow (visit ".github/workflows/site.yml")))
    (findings api workflow)
    (equally "one server for all of them" (with-current-buffer api (process-id (server))) (with-current-buffer workflow (process-id (server))))
    (visit "docker-compose.yml")
    (equally "other YAML is left alone" (and (server) t) nil)
    (reordering api)
    (let ((site (visit "web/Dockerfile")))
      (across-files site workflow)
      (positions site)
      (names-of-rules site)
      (fixes-on-save site workflow)
      (settings workflow)
      (crash workflow)))
  (say "all as expected"))

(condition-case problem
    (main)
  (error (fail "%S" problem)))
(kill-emacs 0)

;;; e2e.el ends here
