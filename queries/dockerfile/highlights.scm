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

; Captures whose name begins with `_` would take the colour of the keyword away in Helix.

; FROM image AS name
((instruction
  keyword: (keyword) @keyword
  arguments: (arguments
    .
    (word) @type))
  (#match? @keyword "^[Ff][Rr][Oo][Mm]$"))

((instruction
  keyword: (keyword) @keyword
  arguments: (arguments
    (word)
    (word) @keyword.operator
    (word) @type))
  (#match? @keyword "^[Ff][Rr][Oo][Mm]$")
  (#match? @keyword.operator "^[Aa][Ss]$"))

; NAME=value
((instruction
  keyword: (keyword) @keyword
  arguments: (arguments
    (word) @property))
  (#match? @keyword "^([Aa][Rr][Gg]|[Ee][Nn][Vv]|[Ll][Aa][Bb][Ee][Ll])$"))

((instruction
  keyword: (keyword) @keyword
  arguments: (arguments
    (word) @number))
  (#match? @keyword "^[Ee][Xx][Pp][Oo][Ss][Ee]$"))

; What follows HEALTHCHECK.
((instruction
  keyword: (keyword) @keyword
  arguments: (arguments
    .
    (word) @keyword.modifier))
  (#match? @keyword "^[Hh][Ee][Aa][Ll][Tt][Hh][Cc][Hh][Ee][Cc][Kk]$"))
