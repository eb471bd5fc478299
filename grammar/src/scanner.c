// The lexer of Dockerfiles, after BuildKit's parser.
//
// A Dockerfile is read line by line, and what a character means depends on what came before: the escape
// directive, an open quote, a heredoc whose body is still to come. So every token is made here, and the grammar
// only groups tokens.
//
// The one rule of this file: what the scanner does depends on the text and on `Scanner` alone, never on which
// tokens the parser would accept. All of `Scanner` is serialized with each token. That is why a tree that is
// brought up to date after an edit equals a tree made afresh.
//
// White space between tokens, ends of lines included, is skipped and part of no token.

#include "tree_sitter/alloc.h"
#include "tree_sitter/parser.h"

#include <string.h>

// In the order of `externals` in grammar.js.
enum TokenType {
    DIRECTIVE_START,
    DIRECTIVE_NAME,
    DIRECTIVE_EQUALS,
    DIRECTIVE_VALUE,
    COMMENT,
    INNER_COMMENT,
    KEYWORD,
    TRIGGER_KEYWORD,
    FLAG,
    WORD,
    LINE_CONTINUATION,
    LEADING_CONTINUATION,
    HEREDOC_MARKER,
    HEREDOC_BODY,
    HEREDOC_END,
};

// Bounds that keep the serialized state below TREE_SITTER_SERIALIZATION_BUFFER_SIZE (1024 bytes). Beyond them less is
// understood: a line with deeper quoting than this has no heredocs, and further markers of one line are words.
#define MAX_DEPTH 64
#define MAX_HEREDOCS 64

// Long enough to tell `onbuild` from every longer keyword.
#define MAX_KEYWORD 8

// Where the next token stands.
typedef enum {
    AT_TOP,            // at the start of a line, after nothing but directives
    AT_LINE,           // at the start of a line, between instructions
    IN_DIRECTIVE_NAME, // after `#`
    IN_DIRECTIVE_EQUALS,
    IN_DIRECTIVE_VALUE,
    BEFORE_KEYWORD, // after a continuation that stands in front of the keyword
    BEFORE_FLAGS,   // after the keyword or a flag
    IN_WORDS,       // after a word, or after `--`
    IN_HEREDOC,     // at the start of a line of the first pending heredoc
    AFTER_HEREDOC,  // behind the end of a heredoc, in the same line
} Mode;

// A name, of any length, in constant space. Names are only ever compared; that two of them meet in a 64-bit hash and a
// length does not happen by chance, and would only move the end of a heredoc.
typedef struct {
    uint64_t hash;
    uint32_t length;
} Name;

typedef struct {
    Name name;
    bool chomp; // `<<-`: tabs in front of the end are skipped
} Heredoc;

// How much of a word looks like a heredoc marker: digits, `<<`, perhaps `-` or white space, a name.
typedef enum {
    MARKER_START,  // nothing yet
    MARKER_DIGITS, // a file descriptor
    MARKER_LESS,   // `<`
    MARKER_OPEN,   // `<<`
    MARKER_NAME,   // in the name, which may still be empty
    MARKER_NO,     // another word
} MarkerStage;

// What the lexer of words is inside of.
typedef enum {
    SINGLE_QUOTES,
    DOUBLE_QUOTES,
    EXPANSION, // the word of `${name:-word}`, up to `}`
    PATTERN,   // the pattern of `${name/pattern/word}`, up to `/`
} Context;

// What the character before makes of the next one.
typedef enum {
    NORMAL,
    ESCAPED,
    ESCAPED_IN_DOUBLE_QUOTES, // where only some characters can be escaped
    AFTER_DOLLAR,
    BRACE_OPEN, // after `${`
    BRACE_NAME,
    BRACE_DIGITS,
    BRACE_OPERATOR, // after the name, where only an operator may follow
    BRACE_COLON,
    BRACE_SLASH,
    AFTER_LESS,
    AFTER_LESS_LESS,
} Step;

// Splits the text of an instruction into words, one character at a time.
//
// For RUN, COPY and ADD it is BuildKit's shell lexer (`shell`), with which BuildKit looks for heredocs in the whole line:
// its escape character is always a backslash, and it knows `$` expansions and quotes inside them. A line it finds fault
// with has no heredocs (`broken`). For all others it knows quotes and the file's escape character only.
typedef struct {
    bool shell;
    bool broken;
    bool chomp; // of the marker
    uint8_t escape;
    uint8_t step;
    uint8_t marker;
    Name name; // of the marker
    uint8_t depth;
    uint8_t contexts[MAX_DEPTH];
} WordLexer;

// Whether heredocs of the current instruction have been looked into: a marker only counts if the lexer finds no fault
// with the rest of the line.
typedef enum { UNKNOWN, GOOD, BAD } Verdict;

// Everything that is remembered between two tokens.
typedef struct {
    uint8_t mode;
    uint8_t escape;       // the file's escape character
    bool last_directive;  // inside a directive: it has no value yet, which to BuildKit is a comment and ends the directives
    bool fresh_line;      // inside an instruction: at the start of a line, where comments and blank lines are skipped
    bool expects_trigger; // ONBUILD was read, what it holds was not
    uint8_t verdict;
    WordLexer words;
    uint8_t n_heredocs;
    Heredoc heredocs[MAX_HEREDOCS]; // whose bodies are still to come
} Scanner;

// ---------------------------------------------------------------------------------------------------------------------
// Characters

static bool is_line_blank(int32_t c) { return c == ' ' || c == '\t'; }

// White space that ends a keyword or a flag.
static bool is_ascii_space(int32_t c) { return c == ' ' || (c >= '\t' && c <= '\r' && c != '\n'); }

// White space around the parts of a directive.
static bool is_directive_space(int32_t c) { return is_line_blank(c) || c == '\f' || c == '\r'; }

// White space as Go's `unicode.IsSpace` has it, without the end of a line.
static bool is_space(int32_t c) {
    return is_ascii_space(c) || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

static bool is_digit(int32_t c) { return c >= '0' && c <= '9'; }

static bool is_ascii_letter(int32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Every character beyond ASCII counts as a letter: the tables of Unicode are not worth their size here.
static bool is_name_char(int32_t c) { return is_ascii_letter(c) || is_digit(c) || c == '_' || c >= 0x80; }

static bool is_special_parameter(int32_t c) { return c > 0 && c < 0x80 && strchr("@*#?-$!", (char)c) != NULL; }

static int32_t to_lower(int32_t c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; }

static void take(TSLexer *lexer) { lexer->advance(lexer, false); }

static void skip(TSLexer *lexer) { lexer->advance(lexer, true); }

static bool at_line_end(TSLexer *lexer) { return lexer->lookahead == '\n' || lexer->eof(lexer); }

// ---------------------------------------------------------------------------------------------------------------------
// Names

static const Name EMPTY_NAME = {.hash = 0xcbf29ce484222325, .length = 0};

// FNV-1a, over code points.
static void name_add(Name *name, int32_t c) {
    name->hash = (name->hash ^ (uint64_t)(uint32_t)c) * 0x100000001b3;
    name->length++;
}

static bool name_equals(const Name *a, const Name *b) { return a->hash == b->hash && a->length == b->length; }

// ---------------------------------------------------------------------------------------------------------------------
// Words

static void words_reset(WordLexer *self, bool shell, uint8_t escape) {
    *self = (WordLexer){.shell = shell, .escape = shell ? '\\' : escape, .name = EMPTY_NAME, .marker = shell ? MARKER_START : MARKER_NO};
}

// What is left of a line that BuildKit's lexer gives up on is split as any other.
static void words_break(WordLexer *self) {
    words_reset(self, false, self->escape);
    self->broken = true;
}

static void words_push(WordLexer *self, Context context) {
    if (self->depth == MAX_DEPTH) {
        words_break(self);
        return;
    }
    self->contexts[self->depth++] = (uint8_t)context;
}

static void words_pop(WordLexer *self) {
    self->depth--;
    self->contexts[self->depth] = 0;
}

static bool words_inside(const WordLexer *self, Context context) { return self->depth > 0 && self->contexts[self->depth - 1] == context; }

// Whether `c` is white space that ends a word, or stands between words.
static bool words_end_at(const WordLexer *self, int32_t c) {
    switch (self->step) {
    case NORMAL:
    case AFTER_DOLLAR:
    case AFTER_LESS:
        return self->depth == 0 && is_space(c);
    case AFTER_LESS_LESS:
        return self->depth == 0 && is_space(c) && !is_line_blank(c) && c != '\r';
    default:
        return false;
    }
}

// Whether the lexer finds no fault if the line ends here.
static bool words_may_end(const WordLexer *self) {
    bool inside_braces = self->step >= BRACE_OPEN && self->step <= BRACE_SLASH;
    return !self->broken && self->depth == 0 && !inside_braces;
}

static void marker_start(WordLexer *self) {
    self->marker = self->shell ? MARKER_START : MARKER_NO;
    self->chomp = false;
    self->name = EMPTY_NAME;
}

// A character that stands for itself, quoted or not.
static void marker_text(WordLexer *self, int32_t c) {
    switch (self->marker) {
    case MARKER_START:
    case MARKER_DIGITS:
        self->marker = is_digit(c) ? MARKER_DIGITS : MARKER_NO;
        break;
    case MARKER_LESS:
        self->marker = MARKER_NO;
        break;
    case MARKER_OPEN:
        self->marker = MARKER_NAME;
        if (c == '-') {
            self->chomp = true;
            break;
        }
        // fall through
    case MARKER_NAME:
        if (c == '<') {
            self->marker = MARKER_NO;
        } else {
            name_add(&self->name, c);
        }
        break;
    default:
        break;
    }
}

// A quote or an escape character that does not belong to the name.
static void marker_quote(WordLexer *self) { self->marker = self->marker >= MARKER_OPEN && self->marker != MARKER_NO ? MARKER_NAME : MARKER_NO; }

static void marker_less(WordLexer *self) {
    switch (self->marker) {
    case MARKER_START:
    case MARKER_DIGITS:
        self->marker = MARKER_LESS;
        break;
    case MARKER_LESS:
        self->marker = MARKER_OPEN;
        break;
    default:
        self->marker = MARKER_NO;
        break;
    }
}

static bool marker_is_complete(const WordLexer *self) { return self->marker == MARKER_NAME && self->name.length > 0; }

static bool words_feed_normal(WordLexer *self, int32_t c);

// The character after the name of `${name`, or in its place.
static void words_feed_operator(WordLexer *self, int32_t c) {
    switch (c) {
    case '}':
        self->step = NORMAL;
        marker_text(self, c);
        break;
    case ':':
        self->step = BRACE_COLON;
        break;
    case '+':
    case '-':
    case '?':
    case '#':
    case '%':
        // BuildKit's lexer forgets the part of a word that stands in front of such an expansion.
        self->step = NORMAL;
        self->marker = MARKER_NO;
        words_push(self, EXPANSION);
        break;
    case '/':
        self->step = BRACE_SLASH;
        self->marker = MARKER_NO;
        break;
    default:
        words_break(self);
        break;
    }
}

// Reads `c` as what follows `${` up to the operator.
static void words_feed_braces(WordLexer *self, int32_t c) {
    bool goes_on = self->step == BRACE_OPEN || (self->step == BRACE_NAME && is_name_char(c)) || (self->step == BRACE_DIGITS && is_digit(c));
    if (!goes_on) {
        words_feed_operator(self, c);
        return;
    }
    if (self->step == BRACE_OPEN) {
        if (c == '{' || c == '}' || c == ':') {
            words_break(self);
            return;
        }
        if (is_digit(c)) {
            self->step = BRACE_DIGITS;
        } else if (is_special_parameter(c)) {
            self->step = BRACE_OPERATOR;
        } else if (is_name_char(c)) {
            self->step = BRACE_NAME;
        } else {
            words_feed_operator(self, c);
            return;
        }
    }
    marker_text(self, c);
}

// Takes the next character of the logical line: true if it belongs to a word, false if it is the white space behind one.
static bool words_feed(WordLexer *self, int32_t c) {
    uint8_t step = self->step;
    switch (step) {
    case ESCAPED:
        self->step = NORMAL;
        marker_text(self, c);
        return true;
    case ESCAPED_IN_DOUBLE_QUOTES:
        self->step = NORMAL;
        if (c == '"' || c == '$' || c == self->escape || !self->shell) {
            marker_text(self, c);
            return true;
        }
        marker_text(self, self->escape);
        break;
    case AFTER_DOLLAR:
        self->step = NORMAL;
        if (c == '{' || c == '$') {
            self->step = c == '{' ? BRACE_OPEN : NORMAL;
            marker_text(self, c);
            return true;
        }
        break;
    case BRACE_OPEN:
    case BRACE_NAME:
    case BRACE_DIGITS:
    case BRACE_OPERATOR:
        words_feed_braces(self, c);
        return true;
    case BRACE_COLON:
        self->step = NORMAL;
        if (c == '#' || c == '%') {
            words_break(self);
        } else {
            self->marker = MARKER_NO;
            words_push(self, EXPANSION);
        }
        return true;
    case BRACE_SLASH:
        self->step = NORMAL;
        words_push(self, PATTERN);
        if (c == '/') {
            return true; // `//`: replaces all
        }
        break;
    case AFTER_LESS:
        self->step = NORMAL;
        if (c == '<') {
            self->step = AFTER_LESS_LESS;
            marker_less(self);
            return true;
        }
        break;
    case AFTER_LESS_LESS:
        if (is_line_blank(c) || c == '\r') {
            if (self->marker == MARKER_OPEN) {
                self->marker = MARKER_NAME;
            }
            return true; // white space between `<<` and the name does not end the word
        }
        self->step = NORMAL;
        break;
    default:
        break;
    }
    return words_feed_normal(self, c);
}

// Takes a character whose meaning does not hang on the one before it.
static bool words_feed_normal(WordLexer *self, int32_t c) {
    if (words_inside(self, SINGLE_QUOTES)) {
        if (c == '\'') {
            words_pop(self);
        } else {
            marker_text(self, c);
        }
        return true;
    }
    if (words_inside(self, DOUBLE_QUOTES)) {
        if (c == '"') {
            words_pop(self);
        } else if (c == self->escape) {
            self->step = ESCAPED_IN_DOUBLE_QUOTES;
        } else {
            self->step = self->shell && c == '$' ? AFTER_DOLLAR : NORMAL;
            marker_text(self, c);
        }
        return true;
    }
    if (words_inside(self, EXPANSION) && c == '}') {
        words_pop(self);
        return true;
    }
    if (words_inside(self, PATTERN) && c == '/') {
        words_pop(self);
        words_push(self, EXPANSION);
        return true;
    }
    if (self->depth == 0 && is_space(c)) {
        marker_start(self);
        return false;
    }
    if (c == '\'' || c == '"') {
        marker_quote(self);
        words_push(self, c == '"' ? DOUBLE_QUOTES : SINGLE_QUOTES);
    } else if (c == self->escape) {
        marker_quote(self);
        self->step = ESCAPED;
    } else if (self->shell && c == '<') {
        marker_less(self);
        self->step = AFTER_LESS;
    } else {
        self->step = self->shell && c == '$' ? AFTER_DOLLAR : NORMAL;
        marker_text(self, c);
    }
    return true;
}

// ---------------------------------------------------------------------------------------------------------------------
// Lines

// Takes `\r`s and the end of the line. `\r`s alone count as white space.
static bool take_line_end(TSLexer *lexer) {
    while (lexer->lookahead == '\r') {
        take(lexer);
    }
    if (lexer->lookahead == '\n') {
        take(lexer);
        return true;
    }
    return lexer->eof(lexer);
}

// Takes all up to the end of the line, and lets the token end before `\r`s there.
static void take_rest_of_line(TSLexer *lexer) {
    while (!at_line_end(lexer)) {
        bool ends_line = lexer->lookahead == '\r';
        take(lexer);
        if (!ends_line) {
            lexer->mark_end(lexer);
        }
    }
}

// Reads the logical line: steps over continuations, and over the comments and blank lines between the lines. With that,
// what a word means can be decided before it ends.
typedef struct {
    TSLexer *lexer;
    int32_t escape;    // the file's
    int32_t current;   // the next character, or `LINE_ENDS`
    int32_t blank;     // the first blank that was looked past; any other is given out as a space
    uint32_t n_blanks; // that were looked past, and come after `current`
    bool is_taken;     // whether the lexer is past `current` already
    bool looked_past;  // whether the lexer is past more than `current`, so that a token that ends here has to be found again
    bool marks;        // whether the token is to end behind what is read
} LineReader;

#define LINE_ENDS (-1)

static void reader_take_blank(LineReader *self) {
    self->blank = self->n_blanks == 0 ? self->lexer->lookahead : self->blank;
    self->n_blanks++;
    take(self->lexer);
}

// Steps over blank lines and comments, up to the text of the next line.
static void reader_next_line(LineReader *self) {
    TSLexer *lexer = self->lexer;
    self->n_blanks = 0;
    while (!lexer->eof(lexer)) {
        if (is_space(lexer->lookahead)) {
            reader_take_blank(self);
        } else if (lexer->lookahead == '\n') {
            self->n_blanks = 0;
            take(lexer);
        } else if (lexer->lookahead == '#') {
            self->n_blanks = 0;
            while (!at_line_end(lexer)) {
                take(lexer);
            }
        } else {
            return;
        }
    }
    self->n_blanks = 0;
}

static void reader_give_blank(LineReader *self) {
    self->current = self->blank;
    self->blank = ' ';
    self->n_blanks--;
    self->is_taken = true;
}

// Finds the next character. An escape character is a continuation if nothing but blanks follow it in its line, and if
// none stands directly before it. `\r`s that end a line are part of its end.
static void reader_load(LineReader *self, bool after_escape) {
    TSLexer *lexer = self->lexer;
    self->is_taken = false;
    for (;;) {
        if (self->n_blanks > 0) {
            reader_give_blank(self);
            return;
        }
        self->current = at_line_end(lexer) ? LINE_ENDS : lexer->lookahead;
        bool is_escape = self->current == self->escape && !after_escape;
        if (!is_escape && self->current != '\r') {
            return;
        }
        self->looked_past = true;
        if (is_escape) {
            take(lexer);
            while (is_line_blank(lexer->lookahead)) {
                reader_take_blank(self);
            }
        }
        while (lexer->lookahead == '\r') {
            reader_take_blank(self);
        }
        if (is_escape && !at_line_end(lexer)) {
            self->is_taken = true;
            return;
        }
        if (at_line_end(lexer)) {
            self->n_blanks = 0;
        }
        if (is_escape) {
            take_line_end(lexer);
            reader_next_line(self);
        }
    }
}

static LineReader reader_new(const Scanner *scanner, TSLexer *lexer) {
    LineReader self = {.lexer = lexer, .escape = scanner->escape, .marks = true};
    reader_load(&self, false);
    return self;
}

static void reader_next(LineReader *self) {
    bool is_escape = self->current == self->escape && self->n_blanks == 0;
    if (!self->is_taken) {
        take(self->lexer);
    }
    if (self->marks) {
        self->lexer->mark_end(self->lexer);
    }
    self->looked_past = self->n_blanks > 0;
    reader_load(self, is_escape);
}

// ---------------------------------------------------------------------------------------------------------------------
// Tokens

typedef enum {
    FOUND_TOKEN,
    FOUND_NOTHING, // the end of the file
    SCAN_AGAIN,    // the mode has changed
} Result;

static Result found(TSLexer *lexer, enum TokenType type) {
    lexer->result_symbol = (TSSymbol)type;
    return FOUND_TOKEN;
}

static void skip_line_end(TSLexer *lexer) {
    while (lexer->lookahead == '\r') {
        skip(lexer);
    }
    if (lexer->lookahead == '\n') {
        skip(lexer);
    }
}

// Takes the escape character, and the end of its line if it is a continuation; the token ends behind what is taken.
static bool take_continuation(TSLexer *lexer, uint32_t *n_blanks) {
    *n_blanks = 0;
    take(lexer);
    lexer->mark_end(lexer);
    while (is_line_blank(lexer->lookahead)) {
        take(lexer);
        ++*n_blanks;
    }
    if (!take_line_end(lexer)) {
        return false;
    }
    lexer->mark_end(lexer);
    return true;
}

// --- Directives

// Reads a directive behind its `#`, without deciding where the token ends. False if it is a comment.
static bool read_directive(Scanner *self, TSLexer *lexer) {
    while (is_space(lexer->lookahead) && lexer->lookahead != '\r') {
        take(lexer);
    }
    char name[MAX_KEYWORD] = {0};
    uint32_t n_chars = 0;
    while (is_ascii_letter(lexer->lookahead)) {
        if (n_chars < MAX_KEYWORD - 1) {
            name[n_chars] = (char)to_lower(lexer->lookahead);
        }
        n_chars++;
        take(lexer);
    }
    bool is_known = n_chars == 6 && (strcmp(name, "syntax") == 0 || strcmp(name, "escape") == 0);
    is_known = is_known || (n_chars == 5 && strcmp(name, "check") == 0);
    while (is_known && is_directive_space(lexer->lookahead) && lexer->lookahead != '\r') {
        take(lexer);
    }
    if (!is_known || lexer->lookahead != '=') {
        return false;
    }
    take(lexer);

    int32_t first = 0;
    uint32_t n_value = 0;
    self->last_directive = true;
    while (!at_line_end(lexer)) {
        if (lexer->lookahead != '\r') {
            self->last_directive = false;
        }
        if (!is_directive_space(lexer->lookahead)) {
            first = n_value == 0 ? lexer->lookahead : first;
            n_value++;
        }
        take(lexer);
    }
    // Any other value is an error to BuildKit.
    if (strcmp(name, "escape") == 0 && n_value == 1 && (first == '\\' || first == '`')) {
        self->escape = (uint8_t)first;
    }
    return true;
}

static Result scan_directive_name(Scanner *self, TSLexer *lexer) {
    while (is_space(lexer->lookahead)) {
        skip(lexer);
    }
    while (is_ascii_letter(lexer->lookahead)) {
        take(lexer);
    }
    lexer->mark_end(lexer);
    self->mode = IN_DIRECTIVE_EQUALS;
    return found(lexer, DIRECTIVE_NAME);
}

static Result scan_directive_equals(Scanner *self, TSLexer *lexer) {
    while (is_directive_space(lexer->lookahead)) {
        skip(lexer);
    }
    take(lexer);
    lexer->mark_end(lexer);
    self->mode = IN_DIRECTIVE_VALUE;
    return found(lexer, DIRECTIVE_EQUALS);
}

static Result scan_directive_value(Scanner *self, TSLexer *lexer) {
    while (is_directive_space(lexer->lookahead)) {
        skip(lexer);
    }
    if (at_line_end(lexer)) {
        skip_line_end(lexer);
        self->mode = self->last_directive ? AT_LINE : AT_TOP;
        self->last_directive = false;
        return SCAN_AGAIN;
    }
    while (!at_line_end(lexer)) {
        bool is_blank = is_directive_space(lexer->lookahead);
        take(lexer);
        if (!is_blank) {
            lexer->mark_end(lexer);
        }
    }
    return found(lexer, DIRECTIVE_VALUE);
}

// --- Keywords and flags

static bool keyword_equals(const char *keyword, uint32_t n_chars, const char *wanted) {
    return n_chars == strlen(wanted) && memcmp(keyword, wanted, n_chars) == 0;
}

// Reads the rest of a keyword, `n_chars` of which are read already.
static Result scan_keyword(Scanner *self, TSLexer *lexer, LineReader *reader, uint32_t n_chars) {
    char keyword[MAX_KEYWORD] = {0};
    while (reader->current != LINE_ENDS && !is_ascii_space(reader->current)) {
        if (n_chars < MAX_KEYWORD) {
            keyword[n_chars] = reader->current < 0x80 ? (char)to_lower(reader->current) : 0;
        }
        n_chars++;
        reader_next(reader);
    }
    bool may_have_heredocs =
        keyword_equals(keyword, n_chars, "run") || keyword_equals(keyword, n_chars, "copy") || keyword_equals(keyword, n_chars, "add");
    if (self->mode != BEFORE_KEYWORD) {
        // What ONBUILD holds. Its line is one line to BuildKit's lexer, so that this one goes on as it is.
        if (!may_have_heredocs) {
            words_reset(&self->words, false, self->escape);
        }
        self->expects_trigger = false;
        self->mode = BEFORE_FLAGS;
        return found(lexer, TRIGGER_KEYWORD);
    }
    // An ONBUILD in an ONBUILD is none.
    self->expects_trigger = keyword_equals(keyword, n_chars, "onbuild");
    words_reset(&self->words, may_have_heredocs || self->expects_trigger, self->escape);
    self->verdict = UNKNOWN;
    self->mode = BEFORE_FLAGS;
    return found(lexer, KEYWORD);
}

// A token where a keyword is expected: a continuation, or the keyword.
static Result scan_continuation_or_keyword(Scanner *self, TSLexer *lexer, enum TokenType continuation) {
    LineReader reader = {.lexer = lexer, .escape = self->escape, .marks = true};
    if (lexer->lookahead != self->escape) {
        reader_load(&reader, false);
        return scan_keyword(self, lexer, &reader, 0);
    }
    uint32_t n_blanks = 0;
    if (take_continuation(lexer, &n_blanks)) {
        self->fresh_line = true;
        return found(lexer, continuation);
    }
    reader.n_blanks = n_blanks;
    reader_load(&reader, true);
    return scan_keyword(self, lexer, &reader, 1);
}

// Reads a flag behind its dashes, as BuildKit does before it looks at the instruction: quotes of both kinds, in which
// the file's escape character escapes everything.
static Result scan_flag(Scanner *self, TSLexer *lexer, LineReader *reader) {
    int32_t quote = 0;
    bool escaped = false;
    bool is_bare = true; // nothing but the dashes
    while (reader->current != LINE_ENDS) {
        int32_t c = reader->current;
        if (escaped) {
            escaped = false;
            is_bare = false;
        } else if (c == self->escape) {
            escaped = true;
        } else if (quote != 0) {
            is_bare = is_bare && c == quote;
            quote = c == quote ? 0 : quote;
        } else if (is_ascii_space(c)) {
            break;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else {
            is_bare = false;
        }
        words_feed(&self->words, c);
        reader_next(reader);
    }
    self->mode = is_bare ? IN_WORDS : BEFORE_FLAGS;
    return found(lexer, FLAG);
}

// --- Words

// A token that begins with the escape character: a continuation, or else a word, the rest of which is read elsewhere
// (`SCAN_AGAIN`) if it goes on.
static Result scan_continuation_or_escape(Scanner *self, TSLexer *lexer) {
    WordLexer before = self->words;
    bool goes_on = words_feed(&self->words, self->escape);
    take(lexer);
    lexer->mark_end(lexer);
    while (is_line_blank(lexer->lookahead)) {
        goes_on = goes_on && words_feed(&self->words, lexer->lookahead);
        take(lexer);
        if (goes_on) {
            lexer->mark_end(lexer);
        }
    }
    while (lexer->lookahead == '\r') {
        goes_on = goes_on && words_feed(&self->words, '\r');
        take(lexer);
    }
    if (at_line_end(lexer)) {
        self->words = before;
        self->fresh_line = true;
        take_line_end(lexer);
        lexer->mark_end(lexer);
        return found(lexer, LINE_CONTINUATION);
    }
    self->mode = IN_WORDS;
    return goes_on ? SCAN_AGAIN : found(lexer, WORD);
}

// Reads the rest of a word, of which something is read already. It ends before a continuation. Whether an escape
// character followed by white space is one is for the next token to find out, which begins with it.
static Result scan_rest_of_word(Scanner *self, TSLexer *lexer, bool after_escape) {
    while (!at_line_end(lexer)) {
        int32_t c = lexer->lookahead;
        if (c == self->escape && !after_escape) {
            take(lexer);
            if (is_line_blank(lexer->lookahead) || lexer->lookahead == '\r' || at_line_end(lexer)) {
                break;
            }
            words_feed(&self->words, c);
            lexer->mark_end(lexer);
            after_escape = true;
            continue;
        }
        if (!words_feed(&self->words, c)) {
            break;
        }
        after_escape = c == self->escape;
        take(lexer);
        if (c != '\r') {
            lexer->mark_end(lexer);
        }
    }
    return found(lexer, WORD);
}

// Whether the lexer finds no fault with the line behind a marker. It is read to its end only once.
static bool line_may_have_heredocs(Scanner *self, const LineReader *reader) {
    if (self->verdict == UNKNOWN) {
        WordLexer words = self->words;
        LineReader ahead = *reader;
        ahead.marks = false;
        while (ahead.current != LINE_ENDS && !words.broken) {
            words_feed(&words, ahead.current);
            reader_next(&ahead);
        }
        self->verdict = words_may_end(&words) ? GOOD : BAD;
    }
    if (self->verdict == BAD) {
        words_break(&self->words);
    }
    return self->verdict == GOOD;
}

// Reads a word that may be a heredoc marker. A marker is one token even where a continuation cuts it.
static Result scan_possible_marker(Scanner *self, TSLexer *lexer) {
    WordLexer *words = &self->words;
    LineReader reader = reader_new(self, lexer);
    bool after_escape = false;
    while (words->marker != MARKER_NO && reader.current != LINE_ENDS && !words_end_at(words, reader.current)) {
        words_feed(words, reader.current);
        after_escape = reader.current == self->escape;
        reader_next(&reader);
    }
    if (words->marker == MARKER_NO) {
        return reader.looked_past ? found(lexer, WORD) : scan_rest_of_word(self, lexer, after_escape);
    }
    if (!marker_is_complete(words) || self->n_heredocs == MAX_HEREDOCS || !line_may_have_heredocs(self, &reader)) {
        return found(lexer, WORD);
    }
    self->heredocs[self->n_heredocs++] = (Heredoc){.name = words->name, .chomp = words->chomp};
    return found(lexer, HEREDOC_MARKER);
}

static bool may_be_marker(const Scanner *self, int32_t c) {
    const WordLexer *words = &self->words;
    return words->marker == MARKER_START && words->depth == 0 && words->step == NORMAL && (c == '<' || is_digit(c));
}

static Result scan_word(Scanner *self, TSLexer *lexer) {
    self->mode = IN_WORDS;
    if (may_be_marker(self, lexer->lookahead)) {
        return scan_possible_marker(self, lexer);
    }
    return scan_rest_of_word(self, lexer, false);
}

// --- Instructions

static void end_instruction(Scanner *self) {
    words_reset(&self->words, false, self->escape);
    self->verdict = UNKNOWN;
    self->expects_trigger = false;
    self->fresh_line = false;
    self->mode = self->n_heredocs > 0 ? IN_HEREDOC : AT_LINE;
}

// Skips blank lines and white space at the start of a line, and gives the latter to the lexer of words: two characters
// of it are enough to end an escape and then the word.
static void skip_to_text(Scanner *self, TSLexer *lexer) {
    uint32_t n_blanks = 0;
    while (lexer->lookahead == '\n' || is_space(lexer->lookahead)) {
        n_blanks = lexer->lookahead == '\n' ? 0 : n_blanks + 1;
        skip(lexer);
    }
    if (lexer->lookahead == '#' || lexer->eof(lexer)) {
        return;
    }
    self->fresh_line = false;
    for (uint32_t i = 0; i < n_blanks && i < 2; i++) {
        words_feed(&self->words, ' ');
    }
}

static void skip_blanks(Scanner *self, TSLexer *lexer) {
    // Not even in quotes does a token begin with `\r`: it may be part of the line's end.
    while (words_end_at(&self->words, lexer->lookahead) || lexer->lookahead == '\r') {
        words_feed(&self->words, lexer->lookahead);
        skip(lexer);
    }
}

static Result scan_dash(Scanner *self, TSLexer *lexer) {
    LineReader reader = reader_new(self, lexer);
    words_feed(&self->words, '-');
    reader_next(&reader);
    if (reader.current == '-') {
        words_feed(&self->words, '-');
        reader_next(&reader);
        return scan_flag(self, lexer, &reader);
    }
    if (self->expects_trigger) {
        return scan_keyword(self, lexer, &reader, 1);
    }
    self->mode = IN_WORDS;
    return reader.looked_past ? found(lexer, WORD) : scan_rest_of_word(self, lexer, false);
}

static Result scan_instruction(Scanner *self, TSLexer *lexer) {
    if (self->fresh_line) {
        skip_to_text(self, lexer);
        if (lexer->lookahead == '#' && self->fresh_line) {
            take_rest_of_line(lexer);
            return found(lexer, INNER_COMMENT);
        }
    } else {
        skip_blanks(self, lexer);
    }
    if (lexer->eof(lexer)) {
        return FOUND_NOTHING;
    }
    if (lexer->lookahead == '\n') {
        skip(lexer);
        end_instruction(self);
        return SCAN_AGAIN;
    }
    if (self->mode == BEFORE_FLAGS && lexer->lookahead == '-') {
        return scan_dash(self, lexer);
    }
    if (self->mode == BEFORE_KEYWORD || self->expects_trigger) {
        return scan_continuation_or_keyword(self, lexer, LINE_CONTINUATION);
    }
    if (lexer->lookahead == self->escape) {
        Result result = scan_continuation_or_escape(self, lexer);
        return result == SCAN_AGAIN ? scan_rest_of_word(self, lexer, true) : result;
    }
    return scan_word(self, lexer);
}

static Result scan_line(Scanner *self, TSLexer *lexer) {
    while (lexer->lookahead == '\n' || is_space(lexer->lookahead)) {
        if (lexer->lookahead == '\n') {
            self->mode = AT_LINE;
        }
        skip(lexer);
    }
    if (lexer->eof(lexer)) {
        return FOUND_NOTHING;
    }
    if (lexer->lookahead != '#') {
        self->mode = BEFORE_KEYWORD;
        return scan_continuation_or_keyword(self, lexer, LEADING_CONTINUATION);
    }
    take(lexer);
    lexer->mark_end(lexer);
    if (self->mode == AT_TOP) {
        if (read_directive(self, lexer)) {
            self->mode = IN_DIRECTIVE_NAME;
            return found(lexer, DIRECTIVE_START);
        }
        lexer->mark_end(lexer);
    }
    self->mode = AT_LINE;
    take_rest_of_line(lexer);
    return found(lexer, COMMENT);
}

// --- Heredocs

static void pop_heredoc(Scanner *self) {
    self->n_heredocs--;
    memmove(self->heredocs, self->heredocs + 1, self->n_heredocs * sizeof(Heredoc));
    self->heredocs[self->n_heredocs] = (Heredoc){0};
    self->mode = self->n_heredocs > 0 ? AFTER_HEREDOC : AT_LINE;
}

// Takes a line without its end, and tells whether it ends the heredoc: whether it is the name, and nothing else.
static bool take_heredoc_line(TSLexer *lexer, const Heredoc *heredoc, bool marks) {
    Name line = EMPTY_NAME;
    uint32_t n_returns = 0; // which may be part of the line's end
    while (heredoc->chomp && lexer->lookahead == '\t') {
        take(lexer);
    }
    while (!at_line_end(lexer)) {
        if (lexer->lookahead == '\r') {
            n_returns++;
            take(lexer);
            continue;
        }
        for (; n_returns > 0; n_returns--) {
            name_add(&line, '\r');
        }
        name_add(&line, lexer->lookahead);
        take(lexer);
        if (marks) {
            lexer->mark_end(lexer);
        }
    }
    return name_equals(&line, &heredoc->name);
}

// The body, or the line that ends the heredoc if nothing stands before it.
static Result scan_heredoc(Scanner *self, TSLexer *lexer) {
    bool is_empty = true;
    for (;;) {
        lexer->mark_end(lexer);
        if (lexer->eof(lexer)) {
            break;
        }
        if (take_heredoc_line(lexer, &self->heredocs[0], is_empty)) {
            if (is_empty) {
                pop_heredoc(self);
                return found(lexer, HEREDOC_END);
            }
            return found(lexer, HEREDOC_BODY);
        }
        is_empty = false;
        if (lexer->lookahead == '\n') {
            take(lexer);
        }
    }
    // Nothing ends it. BuildKit rejects the file; here it takes what there is.
    while (self->n_heredocs > 0) {
        pop_heredoc(self);
    }
    return is_empty ? FOUND_NOTHING : found(lexer, HEREDOC_BODY);
}

// --- All together

static Result scan_token(Scanner *self, TSLexer *lexer) {
    switch (self->mode) {
    case IN_DIRECTIVE_NAME:
        return scan_directive_name(self, lexer);
    case IN_DIRECTIVE_EQUALS:
        return scan_directive_equals(self, lexer);
    case IN_DIRECTIVE_VALUE:
        return scan_directive_value(self, lexer);
    case BEFORE_KEYWORD:
    case BEFORE_FLAGS:
    case IN_WORDS:
        return scan_instruction(self, lexer);
    case AFTER_HEREDOC:
        skip_line_end(lexer);
        self->mode = IN_HEREDOC;
        return SCAN_AGAIN;
    case IN_HEREDOC:
        return scan_heredoc(self, lexer);
    default:
        return scan_line(self, lexer);
    }
}

static void scanner_reset(Scanner *self) {
    memset(self, 0, sizeof(Scanner));
    self->mode = AT_TOP;
    self->escape = '\\';
    words_reset(&self->words, false, self->escape);
}

// ---------------------------------------------------------------------------------------------------------------------
// The state as bytes

typedef struct {
    char *bytes;
    unsigned length;
} Writer;

typedef struct {
    const char *bytes;
    unsigned length;
    unsigned position;
} Reader;

static void write_number(Writer *self, uint64_t value, unsigned n_bytes) {
    for (unsigned i = 0; i < n_bytes; i++) {
        self->bytes[self->length++] = (char)(uint8_t)(value >> (8 * i));
    }
}

// Gives zero beyond the end.
static uint64_t read_number(Reader *self, unsigned n_bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < n_bytes && self->position < self->length; i++) {
        value |= (uint64_t)(uint8_t)self->bytes[self->position++] << (8 * i);
    }
    return value;
}

static uint8_t read_count(Reader *self, uint8_t bound) {
    uint8_t count = (uint8_t)read_number(self, 1);
    return count < bound ? count : bound;
}

static void write_name(Writer *writer, const Name *name) {
    write_number(writer, name->hash, 8);
    write_number(writer, name->length, 4);
}

static Name read_name(Reader *reader) {
    Name name;
    name.hash = read_number(reader, 8);
    name.length = (uint32_t)read_number(reader, 4);
    return name;
}

#define MODE_SIZE 4
#define WORDS_SIZE (5 + 12 + MAX_DEPTH)
#define HEREDOCS_SIZE (1 + MAX_HEREDOCS * 13)
_Static_assert(MODE_SIZE + WORDS_SIZE + HEREDOCS_SIZE <= TREE_SITTER_SERIALIZATION_BUFFER_SIZE, "the state must fit the buffer");

unsigned tree_sitter_dockerfile_external_scanner_serialize(void *payload, char *buffer) {
    const Scanner *self = payload;
    const WordLexer *words = &self->words;
    Writer writer = {.bytes = buffer, .length = 0};
    write_number(&writer, self->mode, 1);
    write_number(&writer, self->escape, 1);
    write_number(&writer, self->last_directive | self->fresh_line << 1 | self->expects_trigger << 2, 1);
    write_number(&writer, self->verdict, 1);
    write_number(&writer, words->shell | words->broken << 1 | words->chomp << 2, 1);
    write_number(&writer, words->escape, 1);
    write_number(&writer, words->step, 1);
    write_number(&writer, words->marker, 1);
    write_name(&writer, &words->name);
    write_number(&writer, words->depth, 1);
    for (unsigned i = 0; i < words->depth; i++) {
        write_number(&writer, words->contexts[i], 1);
    }
    write_number(&writer, self->n_heredocs, 1);
    for (unsigned i = 0; i < self->n_heredocs; i++) {
        write_name(&writer, &self->heredocs[i].name);
        write_number(&writer, self->heredocs[i].chomp, 1);
    }
    return writer.length;
}

void tree_sitter_dockerfile_external_scanner_deserialize(void *payload, const char *buffer, unsigned length) {
    Scanner *self = payload;
    WordLexer *words = &self->words;
    Reader reader = {.bytes = buffer, .length = length, .position = 0};
    scanner_reset(self);
    if (length == 0) {
        return;
    }
    self->mode = (uint8_t)read_number(&reader, 1);
    self->escape = (uint8_t)read_number(&reader, 1);
    uint64_t flags = read_number(&reader, 1);
    self->last_directive = flags & 1;
    self->fresh_line = flags >> 1 & 1;
    self->expects_trigger = flags >> 2 & 1;
    self->verdict = (uint8_t)read_number(&reader, 1);
    flags = read_number(&reader, 1);
    words->shell = flags & 1;
    words->broken = flags >> 1 & 1;
    words->chomp = flags >> 2 & 1;
    words->escape = (uint8_t)read_number(&reader, 1);
    words->step = (uint8_t)read_number(&reader, 1);
    words->marker = (uint8_t)read_number(&reader, 1);
    words->name = read_name(&reader);
    words->depth = read_count(&reader, MAX_DEPTH);
    for (unsigned i = 0; i < words->depth; i++) {
        words->contexts[i] = (uint8_t)read_number(&reader, 1);
    }
    self->n_heredocs = read_count(&reader, MAX_HEREDOCS);
    for (unsigned i = 0; i < self->n_heredocs; i++) {
        self->heredocs[i].name = read_name(&reader);
        self->heredocs[i].chomp = read_number(&reader, 1) != 0;
    }
}

void *tree_sitter_dockerfile_external_scanner_create(void) {
    Scanner *self = ts_calloc(1, sizeof(Scanner));
    scanner_reset(self);
    return self;
}

void tree_sitter_dockerfile_external_scanner_destroy(void *payload) { ts_free(payload); }

bool tree_sitter_dockerfile_external_scanner_scan(void *payload, TSLexer *lexer, const bool *valid_symbols) {
    (void)valid_symbols; // see the top of this file
    Result result = SCAN_AGAIN;
    while (result == SCAN_AGAIN) {
        result = scan_token(payload, lexer);
    }
    return result == FOUND_TOKEN;
}
