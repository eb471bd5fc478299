; Colours for Dockerfiles. A word is whatever stands between white space: the patterns below only tell apart what
; its text shows. Later patterns win.

(comment) @comment

(directive) @comment

(directive_name) @keyword.directive

(directive_value) @string.special

(keyword) @keyword

(flag) @attribute

(line_continuation) @punctuation.special

(heredoc_marker) @label

(heredoc_end) @label

(heredoc_body) @string

; Quoted words, and the strings of the JSON form.
((word) @string
  (#match? @string "^\\[?[\"']"))

; FROM image AS name
((instruction
  keyword: (keyword) @_from
  arguments: (arguments
    .
    (word) @type))
  (#match? @_from "^[Ff][Rr][Oo][Mm]$"))

((instruction
  keyword: (keyword) @_from
  arguments: (arguments
    (word)
    (word) @keyword
    (word) @type))
  (#match? @_from "^[Ff][Rr][Oo][Mm]$")
  (#match? @keyword "^[Aa][Ss]$"))

; NAME=value
((instruction
  keyword: (keyword) @_pairs
  arguments: (arguments
    (word) @property))
  (#match? @_pairs "^([Aa][Rr][Gg]|[Ee][Nn][Vv]|[Ll][Aa][Bb][Ee][Ll])$"))

((instruction
  keyword: (keyword) @_expose
  arguments: (arguments
    (word) @number))
  (#match? @_expose "^[Ee][Xx][Pp][Oo][Ss][Ee]$"))

; What follows HEALTHCHECK.
((instruction
  keyword: (keyword) @_healthcheck
  arguments: (arguments
    .
    (word) @keyword))
  (#match? @_healthcheck "^[Hh][Ee][Aa][Ll][Tt][Hh][Cc][Hh][Ee][Cc][Kk]$"))
