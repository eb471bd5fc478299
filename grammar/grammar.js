/**
 * Dockerfiles, as BuildKit reads them.
 *
 * All tokens come from the external scanner (src/scanner.c), because what a character means depends on the
 * line it stands in, on the escape directive and on open heredocs. The rules here only group the tokens, and
 * they accept every sequence that the scanner can give, so that no tree ever has an ERROR or MISSING node.
 */

/// <reference types="tree-sitter-cli/dsl" />

// About the square root of the number of instructions in a long file.
const GROUP = 16;

export default grammar({
  name: 'dockerfile',

  // In the order of `enum TokenType` in the scanner.
  externals: $ => [
    $._directive_start,
    $.directive_name,
    $._directive_equals,
    $.directive_value,
    $.comment,
    // A comment between the lines of an instruction. To the parser it is another token than a comment between
    // instructions: with one token for both it could not tell where an instruction ends.
    $._inner_comment,
    $.keyword,
    $._trigger_keyword,
    $.flag,
    $.word,
    $.line_continuation,
    // One in front of the keyword. It is a token of its own for the same reason.
    $._leading_continuation,
    $.heredoc_marker,
    $.heredoc_body,
    $.heredoc_end,
  ],

  // What is white space to Go's `unicode.IsSpace`. The scanner skips it by itself everywhere but at the end of the file.
  extras: _ => [/[\t\n\v\f\r \u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]/],

  rules: {
    // In groups, because after an edit tree-sitter takes over the rest of a list item by item, but a group as a whole.
    source_file: $ => seq(repeat($._group), optional($._rest)),

    _group: $ => seq(...Array(GROUP).fill($._item)),

    _rest: $ => choice(...Array.from({length: GROUP - 1}, (_, index) => seq(...Array(index + 1).fill($._item)))),

    _item: $ => choice($.directive, $.comment, $.instruction),

    directive: $ => seq(
      $._directive_start,
      field('name', $.directive_name),
      $._directive_equals,
      optional(field('value', $.directive_value)),
    ),

    // A continuation may stand in front of the keyword, and even without one at the end of the file.
    instruction: $ => choice(
      $._statement,
      prec.right(seq(alias($._leading_continuation, $.line_continuation), repeat($._gap), optional($._statement))),
    ),

    _statement: $ => seq(
      field('keyword', $.keyword),
      repeat(choice($.flag, $._gap)),
      optional(choice(field('arguments', $.arguments), field('trigger', alias($._trigger, $.instruction)))),
      repeat($.heredoc),
    ),

    // What ONBUILD holds. Heredocs of the trigger belong to the whole instruction: their bodies follow its lines.
    _trigger: $ => seq(
      field('keyword', alias($._trigger_keyword, $.keyword)),
      repeat(choice($.flag, $._gap)),
      optional(field('arguments', $.arguments)),
    ),

    // A word that a continuation cuts is two words here; there is no white space between them.
    arguments: $ => seq(
      choice($.word, $.heredoc_marker),
      repeat(choice($.word, $.heredoc_marker, $._gap)),
    ),

    _gap: $ => choice($.line_continuation, alias($._inner_comment, $.comment)),

    // A heredoc that nothing ends runs to the end of the file.
    heredoc: $ => choice(
      prec.right(seq($.heredoc_body, optional($.heredoc_end))),
      $.heredoc_end,
    ),
  },
});
