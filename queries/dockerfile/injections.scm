; Other languages inside Dockerfiles.

((comment) @injection.content
  (#set! injection.language "comment"))

; The shell form of RUN, CMD and ENTRYPOINT. Continuations are the shell's own.
((instruction
  keyword: (keyword) @_keyword
  arguments: (arguments) @injection.content)
  (#match? @_keyword "^([Rr][Uu][Nn]|[Cc][Mm][Dd]|[Ee][Nn][Tt][Rr][Yy][Pp][Oo][Ii][Nn][Tt])$")
  (#not-match? @injection.content "^\\[")
  (#set! injection.language "bash")
  (#set! injection.include-children))

; The JSON form.
((instruction
  arguments: (arguments) @injection.content)
  (#match? @injection.content "^\\[")
  (#set! injection.language "json")
  (#set! injection.include-children))

; A heredoc of RUN is a script, of the shell unless its first line names another interpreter.
((instruction
  keyword: (keyword) @_run
  (heredoc
    (heredoc_body) @injection.content))
  (#match? @_run "^[Rr][Uu][Nn]$")
  (#not-match? @injection.content "^#!")
  (#set! injection.language "bash"))

((instruction
  keyword: (keyword) @_run
  (heredoc
    (heredoc_body) @injection.content))
  (#match? @_run "^[Rr][Uu][Nn]$")
  (#match? @injection.content "^#![^\n]*sh([^a-z]|$)")
  (#set! injection.language "bash"))

((instruction
  keyword: (keyword) @_run
  (heredoc
    (heredoc_body) @injection.content))
  (#match? @_run "^[Rr][Uu][Nn]$")
  (#match? @injection.content "^#![^\n]*python")
  (#set! injection.language "python"))

((instruction
  keyword: (keyword) @_onbuild
  trigger: (instruction
    keyword: (keyword) @_run)
  (heredoc
    (heredoc_body) @injection.content))
  (#match? @_run "^[Rr][Uu][Nn]$")
  (#not-match? @injection.content "^#!")
  (#set! injection.language "bash"))
