//! Words and simple commands of a shell text: `RUN` in a Dockerfile, `run:` in a workflow.
//!
//! This is no shell. It finds the simple commands of a script and says how far it understood them;
//! whatever it does not understand makes the script, or the one command, opaque.

use crate::edit::Span;
use compact_str::CompactString;

/// A shell text, read as far as it is understood. All spans are of the text it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    /// The simple commands, in order of the text; those inside groups, subshells, conditions and
    /// loops as well.
    pub commands: Vec<Command>,
    /// The first construct that keeps the script from being a plain list of commands joined by
    /// `&&`, `||`, `;` or line ends, with its name: a loop, a condition, a function, a background
    /// job, a syntax error.
    pub opaque: Option<(Span, &'static str)>,
}

/// A simple command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// From its first assignment or word to its last word or redirection.
    pub span: Span,
    /// How it follows on the command before it.
    pub joined: Join,
    /// `NAME=value` in front of it.
    pub assignments: Vec<(String, Word)>,
    /// Its words; the first is the name of the program. Empty if there are only assignments.
    pub words: Vec<Word>,
    /// `>file` and the like.
    pub redirects: Vec<Redirect>,
    /// How many groups, subshells, conditions or loops it stands in.
    pub depth: usize,
}

impl Command {
    /// Whether it loads something by an address.
    pub fn fetches(&self) -> bool {
        let program = self.words.first().map(|it| it.text.rsplit('/').next().unwrap_or(&it.text));
        match program {
            Some("curl" | "wget") => true,
            Some("git") => self.words.iter().any(|it| it.text == "clone"),
            _ => false,
        }
    }
}

/// How a command follows on the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// It is the first.
    First,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `;` or a line end.
    Then,
    /// `|`
    Pipe,
}

/// A word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// As it stands, quotes included.
    pub span: Span,
    /// Quotes and escapes removed; expansions stay as they are written.
    pub text: CompactString,
    /// Variables that are expanded in it: `$NAME`, `${NAME…}`.
    pub variables: Vec<String>,
    /// It has a command substitution, arithmetic, or an expansion that is more than a variable.
    pub computed: bool,
    /// It has an unquoted `*`, `?` or `[`.
    pub glob: bool,
}

impl Word {
    /// The text of a word that means just what it says.
    pub fn literal(&self) -> Option<&str> {
        (self.variables.is_empty() && !self.computed && !self.glob).then_some(self.text.as_str())
    }
}

/// A redirection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// Operator and target.
    pub span: Span,
    /// `>`, `>>`, `<`, `<<`, `<<<`, `2>`, `&>` …
    pub operator: String,
    /// The file; the marker of a heredoc, with the variables that its body expands; `1` of `2>&1`.
    pub target: Word,
}

impl Script {
    /// Whether the script is a plain list of commands, wholly understood as such.
    pub fn is_plain(&self) -> bool {
        self.opaque.is_none()
    }

    /// Whether a command of it loads something by an address: what is there may be another tomorrow.
    pub fn fetches(&self) -> bool {
        self.commands.iter().any(Command::fetches)
    }
}

/// A command without the wrappers in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invocation<'a> {
    /// The program and its arguments; never empty.
    pub words: &'a [Word],
    /// Whether the wrappers leave user, environment, folder and meaning of the command alone.
    /// False behind `sudo`, `env -i`, `xargs` and the like.
    pub plain: bool,
}

impl<'a> Invocation<'a> {
    /// Name of the program: the last part of its path, if it is literal.
    pub fn program(&self) -> Option<&'a str> {
        let text = self.words.first()?.literal()?;
        Some(text.rsplit('/').next().unwrap_or(text))
    }

    /// What stands behind the program.
    pub fn arguments(&self) -> &'a [Word] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// A program that runs another one.
struct Wrapper {
    name: &'static str,
    /// Flags that take the next word.
    valued: &'static [&'static str],
    /// Words between its flags and the program.
    operands: usize,
    plain: bool,
}

const WRAPPERS: &[Wrapper] = &[
    Wrapper { name: "sudo", valued: &["-u", "-g", "-h", "-p", "-C", "-D", "-R", "-T", "--user", "--group"], operands: 0, plain: false },
    Wrapper { name: "doas", valued: &["-u", "-C"], operands: 0, plain: false },
    Wrapper { name: "gosu", valued: &[], operands: 1, plain: false },
    Wrapper { name: "su-exec", valued: &[], operands: 1, plain: false },
    Wrapper { name: "env", valued: &["-u", "-C", "-S", "--unset", "--chdir"], operands: 0, plain: true },
    Wrapper { name: "exec", valued: &["-a"], operands: 0, plain: true },
    Wrapper { name: "time", valued: &["-f", "-o"], operands: 0, plain: true },
    Wrapper { name: "command", valued: &[], operands: 0, plain: true },
    Wrapper { name: "builtin", valued: &[], operands: 0, plain: true },
    Wrapper { name: "nice", valued: &["-n"], operands: 0, plain: true },
    Wrapper { name: "ionice", valued: &["-c", "-n"], operands: 0, plain: true },
    Wrapper { name: "nohup", valued: &[], operands: 0, plain: true },
    Wrapper { name: "timeout", valued: &["-s", "-k", "--signal", "--kill-after"], operands: 1, plain: true },
    Wrapper { name: "stdbuf", valued: &["-i", "-o", "-e"], operands: 0, plain: true },
    Wrapper { name: "eatmydata", valued: &[], operands: 0, plain: true },
    Wrapper { name: "corepack", valued: &[], operands: 0, plain: true },
];

/// Flags that do not keep a wrapper from being plain.
const HARMLESS_WRAPPER_FLAGS: &[&str] = &["--", "-p", "-n", "-v", "-s", "-k", "--signal", "--kill-after", "-c", "-i0", "-o0", "-oL", "-eL", "--foreground"];

/// Names of package managers that `corepack` runs; its other commands are its own.
const COREPACK_MANAGERS: &[&str] = &["npm", "npx", "yarn", "yarnpkg", "pnpm", "pnpx"];

impl Command {
    /// The command behind `sudo`, `env NAME=value`, `exec`, `time`, `command`, `nice` and other
    /// wrappers; `None` where there are only assignments.
    pub fn invocation(&self) -> Option<Invocation<'_>> {
        let mut res = Invocation { words: &self.words, plain: true };
        while let Some((rest, plain)) = unwrap_once(res.words) {
            res = Invocation { words: rest, plain: res.plain && plain };
        }
        (!res.words.is_empty()).then_some(res)
    }

    /// Name of the program behind the wrappers, without its path.
    pub fn program(&self) -> Option<&str> {
        self.invocation()?.program()
    }

    /// Variables that the command expands, each once, in order.
    pub fn variables(&self) -> Vec<&str> {
        let words = self.assignments.iter().map(|(_, it)| it).chain(&self.words).chain(self.redirects.iter().map(|it| &it.target));
        let mut res: Vec<&str> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for name in words.flat_map(|it| &it.variables) {
            if seen.insert(name.as_str()) {
                res.push(name);
            }
        }
        res
    }

    /// Variables set for this command: `NAME=value` in front of it, and those of `env`.
    pub fn environment(&self) -> Vec<(&str, &str)> {
        let mut res: Vec<(&str, &str)> = self.assignments.iter().map(|(name, value)| (name.as_str(), value.text.as_str())).collect();
        let arguments = self.invocation().map_or(0, |it| it.words.len());
        let wrappers = &self.words[..self.words.len() - arguments];
        res.extend(wrappers.iter().filter_map(|it| it.text.split_once('=')).filter(|(name, _)| is_name(name)));
        res
    }

    /// Whether it only sets options of the shell that make failures count, or does nothing:
    /// `set -eux`, `set -o pipefail`, `:`, `true`.
    pub fn is_inert(&self) -> bool {
        if !self.assignments.is_empty() || !self.redirects.is_empty() || self.words.iter().any(|it| it.literal().is_none()) {
            return false;
        }
        let words: Vec<&str> = self.words.iter().map(|it| it.text.as_str()).collect();
        match words.as_slice() {
            ["set", options @ ..] => sets_only_strictness(options),
            [":"] | ["true"] => true,
            _ => false,
        }
    }
}

fn sets_only_strictness(options: &[&str]) -> bool {
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let Some(letters) = option.strip_prefix(['-', '+']) else { return false };
        if letters.is_empty() || !letters.chars().all(|it| "euxvo".contains(it)) {
            return false;
        }
        let named = letters.contains('o');
        if named && !options.next().is_some_and(|it| ["pipefail", "errexit", "nounset", "xtrace", "verbose"].contains(it)) {
            return false;
        }
    }
    true
}

/// The words behind the wrapper that stands first, and whether it is a plain one.
fn unwrap_once(words: &[Word]) -> Option<(&[Word], bool)> {
    let first = words.first()?.literal()?;
    let name = first.rsplit('/').next().unwrap_or(first);
    let wrapper = WRAPPERS.iter().find(|it| it.name == name)?;
    let mut plain = wrapper.plain;
    let mut at = 1;
    while let Some(word) = words.get(at) {
        let text = word.text.as_str();
        if name == "env" && text.split_once('=').is_some_and(|(name, _)| is_name(name)) {
            at += 1;
        } else if name == "command" && matches!(text, "-v" | "-V") {
            // It asks where a program is, and runs none.
            return None;
        } else if text.starts_with('-') {
            plain &= HARMLESS_WRAPPER_FLAGS.contains(&text) || text.bytes().skip(1).all(|it| it.is_ascii_digit());
            at += if wrapper.valued.contains(&text) { 2 } else { 1 };
        } else {
            break;
        }
    }
    let rest = words.get(at + wrapper.operands..).filter(|it| !it.is_empty())?;
    let runs_other = name != "corepack" || rest[0].literal().is_some_and(|it| COREPACK_MANAGERS.contains(&it));
    runs_other.then_some((rest, plain))
}

/// The first line of a command for a message: with single spaces, and an ellipsis where there is more
/// than `most` characters of it.
pub fn beginning(command: &str, most: usize) -> String {
    let line = command.trim().lines().next().unwrap_or("").trim_end_matches('\\');
    let mut res = String::new();
    for word in line.split_whitespace() {
        if !res.is_empty() {
            res.push(' ');
        }
        res.push_str(word);
    }
    match res.char_indices().nth(most) {
        Some((end, _)) => {
            res.truncate(end);
            res + "…"
        }
        None if command.trim().lines().nth(1).is_some() => res + "…",
        None => res,
    }
}

/// Whether `text` can be the name of a variable.
pub fn is_name(text: &str) -> bool {
    !text.starts_with(|it: char| it.is_ascii_digit()) && !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')
}

/// Reads a shell text. Never fails: what is not understood makes the script opaque.
///
/// Takes time linear in the length of `text`, and no stack that grows with it.
pub fn parse(text: &str) -> Script {
    let mut parser =
        Parser { lexer: Lexer::new(text), script: Script::default(), frames: Vec::new(), current: None, joined: Join::First, expects: Expects::Command };
    while let Some(token) = parser.lexer.next() {
        parser.take(token);
    }
    parser.finish();
    parser.script
}

/// A token. Words and targets of redirections are read whole.
#[derive(Debug)]
enum Token {
    Word(Word),
    Redirect(Redirect),
    Operator(Span, Operator),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    And,
    Or,
    Pipe,
    Background,
    Semicolon,
    Line,
    EndOfCase,
    Open,
    Close,
    /// `((`, read to its `))`.
    Arithmetic,
}

/// What the next word can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// A command or a reserved word.
    Command,
    /// The head of `for` or `select`, up to a separator.
    LoopHead,
    /// The head of `case`, up to `in`.
    CaseHead,
    /// A pattern of `case`, up to `)`.
    Pattern,
    /// Name of a function.
    FunctionName,
    /// Behind a closed compound command: redirections and operators.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Group,
    Subshell,
    If,
    Loop,
    Case,
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    script: Script,
    frames: Vec<Frame>,
    current: Option<Command>,
    joined: Join,
    expects: Expects,
}

impl Parser<'_> {
    fn take(&mut self, token: Token) {
        match token {
            Token::Word(word) => self.word(word),
            Token::Redirect(redirect) => self.redirect(redirect),
            Token::Operator(span, operator) => self.operator(span, operator),
        }
    }

    fn finish(&mut self) {
        self.end_command();
        let end = Span::at(self.lexer.text.len());
        if let Some((span, what)) = self.lexer.broken.take() {
            self.opaque(span, what);
        }
        if !self.frames.is_empty() {
            self.opaque(end, "a syntax error");
        }
    }

    /// The first construct that is not plain, by its place in the text.
    fn opaque(&mut self, span: Span, what: &'static str) {
        if self.script.opaque.is_none_or(|(first, _)| span.start < first.start) {
            self.script.opaque = Some((span, what));
        }
    }

    fn word(&mut self, word: Word) {
        match self.expects {
            Expects::Command => self.command_word(word),
            Expects::LoopHead => {
                if self.lexer.raw(word.span) == "do" {
                    self.expects = Expects::Command;
                }
            }
            Expects::CaseHead => {
                if self.lexer.raw(word.span) == "in" {
                    self.expects = Expects::Pattern;
                }
            }
            Expects::Pattern => {
                if self.lexer.raw(word.span) == "esac" {
                    self.close(Frame::Case, word.span);
                }
            }
            Expects::FunctionName => self.expects = Expects::Command,
            Expects::Closed => {
                // `fi fi`, `done }`: a reserved word may follow without a separator.
                self.expects = Expects::Command;
                if !self.reserved(&word) {
                    self.opaque(word.span, "a syntax error");
                    self.command_word(word);
                }
            }
        }
    }

    fn command_word(&mut self, word: Word) {
        if self.current.is_none() && self.reserved(&word) {
            return;
        }
        let assigns = self.current.as_ref().is_none_or(|it| it.words.is_empty());
        let assignment = assigns.then(|| self.lexer.assignment(&word)).flatten();
        let span = word.span;
        let command = self.command(span);
        match assignment {
            Some(assignment) => command.assignments.push(assignment),
            None => command.words.push(word),
        }
        command.span = command.span.join(span);
        if self.current.as_ref().is_some_and(|it| it.words.len() == 1) {
            self.lexer.in_test = self.lexer.raw(span) == "[[";
        }
    }

    /// Takes a reserved word; whether it was one.
    fn reserved(&mut self, word: &Word) -> bool {
        let span = word.span;
        match self.lexer.raw(span) {
            "if" => self.open(Frame::If, span, Some("a condition")),
            "while" | "until" => self.open(Frame::Loop, span, Some("a loop")),
            "for" | "select" => {
                self.open(Frame::Loop, span, Some("a loop"));
                self.expects = Expects::LoopHead;
            }
            "case" => {
                self.open(Frame::Case, span, Some("a condition"));
                self.expects = Expects::CaseHead;
            }
            "{" => self.open(Frame::Group, span, None),
            "function" => {
                self.opaque(span, "a function");
                self.expects = Expects::FunctionName;
            }
            "coproc" => self.opaque(span, "a background job"),
            "then" | "elif" | "else" | "do" if self.frames.last().is_some_and(|it| matches!(it, Frame::If | Frame::Loop)) => self.joined = Join::Then,
            "fi" => self.close(Frame::If, span),
            "done" => self.close(Frame::Loop, span),
            "esac" => self.close(Frame::Case, span),
            "}" => self.close(Frame::Group, span),
            "!" => {}
            _ => return false,
        }
        true
    }

    fn open(&mut self, frame: Frame, span: Span, what: Option<&'static str>) {
        self.frames.push(frame);
        if let Some(what) = what {
            self.opaque(span, what);
        }
    }

    fn close(&mut self, frame: Frame, span: Span) {
        if self.frames.last() == Some(&frame) {
            self.frames.pop();
            self.expects = Expects::Closed;
        } else {
            self.opaque(span, "a syntax error");
        }
    }

    fn redirect(&mut self, redirect: Redirect) {
        let span = redirect.span;
        // Behind a compound command, the redirection is kept as a command of its own.
        let command = self.command(span);
        command.span = command.span.join(span);
        command.redirects.push(redirect);
    }

    /// The command that is being read; a new one at `span` if there is none.
    fn command(&mut self, span: Span) -> &mut Command {
        let (joined, depth) = (self.joined, self.frames.len());
        self.current.get_or_insert_with(|| Command { span, joined, assignments: Vec::new(), words: Vec::new(), redirects: Vec::new(), depth })
    }

    fn end_command(&mut self) {
        self.lexer.in_test = false;
        if let Some(command) = self.current.take() {
            self.script.commands.push(command);
        }
    }

    fn operator(&mut self, span: Span, operator: Operator) {
        match (self.expects, operator) {
            (Expects::LoopHead, Operator::Semicolon | Operator::Line) => return self.expects = Expects::Command,
            (Expects::LoopHead, Operator::Arithmetic) => return,
            (Expects::Pattern, Operator::Close) => {
                self.joined = Join::Then;
                return self.expects = Expects::Command;
            }
            (Expects::Pattern, Operator::Open | Operator::Pipe | Operator::Line) | (Expects::CaseHead | Expects::FunctionName, Operator::Line) => return,
            (Expects::LoopHead | Expects::CaseHead | Expects::Pattern | Expects::FunctionName, _) => {
                self.opaque(span, "a syntax error");
                self.expects = Expects::Command;
            }
            (Expects::Command | Expects::Closed, _) => {}
        }
        if operator == Operator::Open && self.current.is_some() {
            return self.parenthesis_behind_word(span);
        }
        let ended = self.current.is_some() || self.expects == Expects::Closed;
        self.end_command();
        self.expects = Expects::Command;
        match operator {
            Operator::And => self.joined = Join::And,
            Operator::Or => self.joined = Join::Or,
            Operator::Pipe => self.joined = Join::Pipe,
            Operator::Background => {
                self.opaque(span, "a background job");
                self.joined = Join::Then;
            }
            Operator::Semicolon => self.joined = Join::Then,
            // A line end behind `&&` or `{` continues the list, so that the joint stays.
            Operator::Line if ended => self.joined = Join::Then,
            Operator::Line => {}
            Operator::EndOfCase if self.frames.last() == Some(&Frame::Case) => self.expects = Expects::Pattern,
            Operator::EndOfCase => self.opaque(span, "a syntax error"),
            Operator::Open => self.frames.push(Frame::Subshell),
            Operator::Close => self.close(Frame::Subshell, span),
            Operator::Arithmetic => self.opaque(span, "an arithmetic command"),
        }
    }

    /// `name ( )` is a function; any other parenthesis behind a word is an error.
    fn parenthesis_behind_word(&mut self, span: Span) {
        let is_function = self.current.as_ref().is_some_and(|it| it.words.len() == 1 && it.assignments.is_empty()) && self.lexer.skip_close();
        if is_function {
            let span = self.current.take().map_or(span, |it| it.span);
            self.opaque(span, "a function");
        } else {
            self.opaque(span, "a syntax error");
            self.end_command();
            self.frames.push(Frame::Subshell);
        }
    }
}

/// Splits a text into tokens.
struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Heredocs whose bodies start at the next line.
    heredocs: Vec<PendingHeredoc>,
    /// Inside `[[ … ]]`, operators are words.
    in_test: bool,
    /// The first thing that could not be read.
    broken: Option<(Span, &'static str)>,
}

struct PendingHeredoc {
    marker: String,
    chomp: bool,
    span: Span,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0, heredocs: Vec::new(), in_test: false, broken: None }
    }

    fn raw(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn break_at(&mut self, span: Span, what: &'static str) {
        self.broken.get_or_insert((span, what));
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            if rest.starts_with([' ', '\t', '\r']) {
                self.at += 1;
            } else if rest.starts_with("\\\n") {
                self.at += 2;
            } else if rest.starts_with("\\\r\n") {
                self.at += 3;
            } else if rest.starts_with('#') {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else {
                return;
            }
        }
    }

    fn next(&mut self) -> Option<Token> {
        self.skip_blanks();
        let start = self.at;
        let first = self.byte(0)?;
        if first == b'\n' {
            self.at += 1;
            self.skip_heredocs();
            return Some(Token::Operator(Span::new(start, start + 1), Operator::Line));
        }
        if !self.in_test {
            if let Some(token) = self.redirect_token() {
                return Some(token);
            }
            if let Some(operator) = self.operator_token() {
                return Some(Token::Operator(Span::new(start, self.at), operator));
            }
        }
        let word = self.read_word();
        if self.in_test && self.raw(word.span) == "]]" {
            self.in_test = false;
        }
        Some(Token::Word(word))
    }

    fn operator_token(&mut self) -> Option<Operator> {
        const OPERATORS: &[(&str, Operator)] = &[
            ("&&", Operator::And),
            ("||", Operator::Or),
            ("|&", Operator::Pipe),
            (";;&", Operator::EndOfCase),
            (";;", Operator::EndOfCase),
            (";&", Operator::EndOfCase),
            ("|", Operator::Pipe),
            (";", Operator::Semicolon),
            ("&", Operator::Background),
            ("((", Operator::Arithmetic),
            ("(", Operator::Open),
            (")", Operator::Close),
        ];
        let rest = self.rest();
        let &(text, operator) = OPERATORS.iter().find(|(text, _)| rest.starts_with(text))?;
        if operator == Operator::Arithmetic {
            let start = self.at;
            self.at += 2;
            // `((a) && (b))` is a group in a group; it has no `))` of its own.
            if self.skip_nested("))").is_some() {
                return Some(operator);
            }
            self.at = start + 1;
            return Some(Operator::Open);
        }
        self.at += text.len();
        Some(operator)
    }

    fn redirect_token(&mut self) -> Option<Token> {
        const OPERATORS: &[&str] = &["&>>", "&>", "<<<", "<<-", "<<", "<>", "<&", "<", ">>", ">&", ">|", ">"];
        let rest = self.rest();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let behind = &rest[digits..];
        let operator = OPERATORS.iter().find(|it| behind.starts_with(**it) && (digits == 0 || !it.starts_with('&')))?;
        let is_process = matches!(*operator, "<" | ">") && behind[1..].starts_with('(');
        if is_process {
            return None;
        }
        let start = self.at;
        self.at += digits + operator.len();
        let operator = &self.text[start..self.at];
        self.skip_blanks_in_line();
        let mut target = self.read_word();
        if matches!(&operator[digits..], "<<" | "<<-") {
            self.begin_heredoc(operator.ends_with('-'), &mut target);
        } else if target.span.is_empty() {
            self.break_at(Span::new(start, self.at), "a syntax error");
        }
        Some(Token::Redirect(Redirect { span: Span::new(start, self.at.max(start + 1)), operator: operator.to_owned(), target }))
    }

    fn skip_blanks_in_line(&mut self) {
        while matches!(self.byte(0), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Notes a heredoc, and gives its target the variables of its body: they are found ahead, where
    /// the body will be skipped at the end of the line.
    fn begin_heredoc(&mut self, chomp: bool, target: &mut Word) {
        let raw = self.raw(target.span);
        let expands = !raw.contains(['\'', '"', '\\']);
        let line_end = self.rest().find('\n').map(|it| self.at + it + 1);
        let Some(body_start) = line_end.filter(|_| !target.text.is_empty() && self.heredocs.len() < MAX_HEREDOCS) else {
            return self.break_at(target.span, "an unfinished heredoc");
        };
        // With several heredocs on a line, the body of a later one starts behind the earlier ones;
        // its variables are then found in the earlier bodies too, which is no harm.
        if expands {
            let body = &self.text[body_start..body_end(self.text, body_start, &target.text, chomp).0];
            let found = expansions(body);
            target.variables.extend(found.variables);
            target.computed |= found.computed;
        }
        self.heredocs.push(PendingHeredoc { marker: target.text.to_string(), chomp, span: target.span });
    }

    fn skip_heredocs(&mut self) {
        for heredoc in std::mem::take(&mut self.heredocs) {
            let (_, next, closed) = body_end(self.text, self.at, &heredoc.marker, heredoc.chomp);
            self.at = next;
            if !closed {
                self.break_at(heredoc.span, "an unfinished heredoc");
            }
        }
    }

    /// Skips `)` behind an open parenthesis, if it comes next.
    fn skip_close(&mut self) -> bool {
        self.skip_blanks_in_line();
        let found = self.byte(0) == Some(b')');
        self.at += usize::from(found);
        found
    }

    /// `NAME=value` as its two parts.
    fn assignment(&self, word: &Word) -> Option<(String, Word)> {
        let raw = self.raw(word.span);
        let (name, _) = raw.split_once('=')?;
        let bare = name.strip_suffix('+').unwrap_or(name);
        if !is_name(bare) {
            return None;
        }
        let skipped = name.len() + 1;
        let value = Word {
            span: Span::new(word.span.start + skipped, word.span.end),
            // The name has neither quotes nor escapes, so that it is as long in the text.
            text: word.text.get(skipped..).unwrap_or_default().into(),
            ..word.clone()
        };
        Some((bare.to_owned(), value))
    }

    /// A word from here; empty at the end or before an operator. In a test, one operator is taken
    /// as a word, so that every call makes progress.
    fn read_word(&mut self) -> Word {
        let start = self.at;
        let mut word = Word { span: Span::at(start), text: CompactString::default(), variables: Vec::new(), computed: false, glob: false };
        let tilde = self.tilde();
        word.variables.extend(tilde.then(|| "HOME".to_owned()));
        while let Some(byte) = self.byte(0) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => break,
                b';' | b'&' | b'|' | b')' if !self.in_test => break,
                b'(' if !self.in_test && !self.array_follows(start) => break,
                b'<' | b'>' if !self.in_test && self.byte(1) != Some(b'(') => break,
                b'<' | b'>' if !self.in_test => self.process(&mut word),
                b'(' if !self.in_test => self.array(&mut word),
                b'\'' => self.single_quotes(&mut word),
                b'"' => self.double_quotes(&mut word),
                b'\\' => self.escape(&mut word),
                b'$' | b'`' => self.expansion(&mut word, false),
                _ => self.plain(byte, &mut word),
            }
        }
        word.span = Span::new(start, self.at);
        word
    }

    /// Whether a `~` starts the word and stands for a home folder.
    fn tilde(&self) -> bool {
        self.byte(0) == Some(b'~') && matches!(self.byte(1), None | Some(b'/' | b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b')'))
    }

    /// Whether a `(` here belongs to `NAME=(…)`.
    fn array_follows(&self, start: usize) -> bool {
        let before = &self.text[start..self.at];
        before.strip_suffix('=').is_some_and(|it| is_name(it.strip_suffix('+').unwrap_or(it)))
    }

    fn plain(&mut self, byte: u8, word: &mut Word) {
        word.glob |= matches!(byte, b'*' | b'?' | b'[');
        // `{a,b}` is a list in bash and a literal in sh.
        word.computed |= byte == b'{' && is_brace_list(self.rest());
        word.computed |= byte == b'~' && word.text.is_empty() && word.variables.is_empty();
        self.push_char(word);
    }

    fn push_char(&mut self, word: &mut Word) {
        if let Some(it) = self.rest().chars().next() {
            word.text.push(it);
            self.at += it.len_utf8();
        }
    }

    fn single_quotes(&mut self, word: &mut Word) {
        let start = self.at;
        self.at += 1;
        let rest = self.rest();
        match rest.find('\'') {
            Some(end) => {
                word.text.push_str(&rest[..end]);
                self.at += end + 1;
            }
            None => self.unclosed(start, word),
        }
    }

    fn unclosed(&mut self, start: usize, word: &mut Word) {
        word.text.push_str(self.rest());
        word.computed = true;
        self.at = self.text.len();
        self.break_at(Span::new(start, start + 1), "an unclosed quote");
    }

    fn double_quotes(&mut self, word: &mut Word) {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            match byte {
                b'"' => return self.at += 1,
                b'\\' => match self.byte(1) {
                    Some(b'\n') => self.at += 2,
                    Some(b'$' | b'`' | b'"' | b'\\') => {
                        self.at += 1;
                        self.push_char(word);
                    }
                    _ => self.push_char(word),
                },
                b'$' | b'`' => self.expansion(word, true),
                _ => self.push_char(word),
            }
        }
        word.computed = true;
        self.break_at(Span::new(start, start + 1), "an unclosed quote");
    }

    fn escape(&mut self, word: &mut Word) {
        self.at += 1;
        match self.byte(0) {
            Some(b'\n') => self.at += 1,
            Some(b'\r') if self.byte(1) == Some(b'\n') => self.at += 2,
            Some(_) => self.push_char(word),
            None => word.text.push('\\'),
        }
    }

    /// `$…` or a backquote. It stays in the text as it is written.
    fn expansion(&mut self, word: &mut Word, quoted: bool) {
        let start = self.at;
        let rest = self.rest();
        let opened = if rest.starts_with("$((") {
            Some((3, "))"))
        } else if rest.starts_with("$(") {
            Some((2, ")"))
        } else if rest.starts_with("${") {
            Some((2, "}"))
        } else if rest.starts_with('`') {
            Some((1, "`"))
        } else {
            None
        };
        match opened {
            Some((open, close)) => self.nested(open, close, word),
            None => self.short_expansion(quoted, word),
        }
        word.text.push_str(&self.text[start..self.at]);
    }

    /// An expansion with a closing mark; `self.at` goes behind it.
    fn nested(&mut self, open: usize, close: &'static str, word: &mut Word) {
        let start = self.at;
        self.at += open;
        let mut body = self.skip_nested(close);
        if body.is_none() && close == "))" {
            // `$((a); b)` is a command substitution that starts with a subshell.
            self.at = start + 2;
            body = self.skip_nested(")");
        }
        let Some(body) = body else {
            word.computed = true;
            self.at = self.text.len();
            return self.break_at(Span::new(start, start + open), "an unclosed expansion");
        };
        if close == "}" {
            let name_end = body.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(body.len());
            if is_name(&body[..name_end]) {
                word.variables.push(body[..name_end].to_owned());
            }
            word.computed |= name_end < body.len() || !is_name(body);
            word.variables.extend(expansions(&body[name_end..]).variables);
        } else {
            word.computed = true;
            word.variables.extend(expansions(body).variables);
        }
    }

    fn short_expansion(&mut self, quoted: bool, word: &mut Word) {
        self.at += 1;
        let rest = self.rest();
        let end = rest.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(rest.len());
        match rest.bytes().next() {
            Some(first) if first.is_ascii_alphabetic() || first == b'_' => {
                word.variables.push(rest[..end].to_owned());
                self.at += end;
            }
            Some(b'0'..=b'9' | b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!') => {
                word.computed = true;
                self.at += 1;
            }
            // `$'…'` and `$"…"`: the quotes are read next; what escapes mean is not known.
            Some(b'\'' | b'"') if !quoted => word.computed = true,
            _ => {}
        }
    }

    fn process(&mut self, word: &mut Word) {
        let start = self.at;
        self.nested(2, ")", word);
        word.text.push_str(&self.text[start..self.at]);
    }

    fn array(&mut self, word: &mut Word) {
        let start = self.at;
        self.nested(1, ")", word);
        word.text.push_str(&self.text[start..self.at]);
    }

    /// Goes behind the `close` that belongs to what was just opened, over quotes and all that is
    /// nested; gives what stands between. `None` and no progress if there is none.
    fn skip_nested(&mut self, close: &'static str) -> Option<&'a str> {
        let start = self.at;
        let end = nested_end(self.text, start, close);
        self.at = end.map_or(start, |it| it + close.len());
        end.and_then(|end| self.text.get(start..end))
    }
}

/// Where the body of a heredoc ends, where the line behind its end marker starts, and whether
/// there is a marker.
fn body_end(text: &str, start: usize, marker: &str, chomp: bool) -> (usize, usize, bool) {
    let mut at = start;
    for line in text[start..].split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        let bare = if chomp { bare.trim_start_matches('\t') } else { bare };
        if bare == marker {
            return (at, at + line.len(), true);
        }
        at += line.len();
    }
    (text.len(), text.len(), false)
}

/// Whether a text that starts with `{` can start a list that bash expands: it looks at so many
/// bytes and no more, so that a row of braces is read in linear time.
fn is_brace_list(text: &str) -> bool {
    let list = text.as_bytes().iter().take(200).take_while(|it| !it.is_ascii_whitespace() && **it != b'}');
    let list: Vec<u8> = list.copied().collect();
    list.len() == 200 || list.contains(&b',') || list.windows(2).any(|it| it == b"..")
}

/// How many heredocs may start on one line: the bodies are looked through for each of them.
const MAX_HEREDOCS: usize = 16;

/// How deep expansions may be nested; what is deeper is not understood.
const MAX_NESTING: usize = 100;

/// The offset of the `close` that belongs to an opening mark just before `start`.
fn nested_end(text: &str, start: usize, close: &'static str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut open: Vec<&'static str> = vec![close];
    let mut at = start;
    while let Some(&byte) = bytes.get(at) {
        let innermost = *open.last()?;
        if bytes[at..].starts_with(innermost.as_bytes()) {
            open.pop();
            if open.is_empty() {
                return Some(at);
            }
            at += innermost.len();
            continue;
        }
        let (skipped, opened) = match (byte, bytes.get(at + 1)) {
            (b'\\', _) => (2, None),
            (b'\'', _) if innermost != "\"" => (1 + bytes[at + 1..].iter().position(|it| *it == b'\'')? + 1, None),
            (b'"', _) => (1, Some("\"")),
            (b'`', _) => (1, Some("`")),
            (b'$', Some(b'{')) => (2, Some("}")),
            (b'$', Some(b'(')) => (2, Some(")")),
            (b'(', _) if innermost != "\"" && innermost != "}" => (1, Some(")")),
            _ => (1, None),
        };
        at += skipped;
        open.extend(opened);
        if open.len() > MAX_NESTING {
            return None;
        }
    }
    None
}

/// What a text that the shell expands refers to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expansions {
    /// Names behind `$` and `${`, in order; one may come more than once.
    pub variables: Vec<String>,
    /// There is a command substitution, arithmetic, or an expansion that is more than a variable.
    pub computed: bool,
}

/// Finds the variables that a text names, at any depth, without regard to quotes: a script in
/// single quotes is often run by another shell.
pub fn expansions(text: &str) -> Expansions {
    let bytes = text.as_bytes();
    let mut res = Expansions::default();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' => at += 1,
            b'`' => res.computed = true,
            b'$' => {
                let braces = bytes.get(at) == Some(&b'{');
                res.computed |= bytes.get(at) == Some(&b'(');
                let start = at + usize::from(braces);
                let length = bytes.get(start..).unwrap_or_default().iter().take_while(|it| it.is_ascii_alphanumeric() || **it == b'_').count();
                let name = text.get(start..start + length).unwrap_or_default();
                if is_name(name) {
                    res.variables.push(name.to_owned());
                    res.computed |= braces && bytes.get(start + length) != Some(&b'}');
                } else {
                    res.computed |= braces || length > 0;
                }
                at = start + length;
            }
            _ => {}
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Commands, one a line: depth, joint, words between bars, redirections.
    fn show(text: &str) -> String {
        let script = parse(text);
        let mut res = String::new();
        for command in &script.commands {
            let joint = match command.joined {
                Join::First => "",
                Join::And => "&& ",
                Join::Or => "|| ",
                Join::Then => "; ",
                Join::Pipe => "| ",
            };
            let assignments = command.assignments.iter().map(|(name, value)| format!("{name}={}", value.text));
            let words = command.words.iter().map(|it| it.text.to_string());
            let redirects = command.redirects.iter().map(|it| format!("{}{}", it.operator, it.target.text));
            let all: Vec<String> = assignments.chain(words).chain(redirects).collect();
            res += &format!("{}{joint}{}\n", "  ".repeat(command.depth), all.join("~"));
        }
        if let Some((span, what)) = script.opaque {
            res += &format!("{what}: {}\n", &text[span.start..span.end]);
        }
        res.trim_end().to_owned()
    }

    fn words(text: &str) -> Vec<Word> {
        parse(text).commands.remove(0).words
    }

    #[test]
    fn commands_are_split_at_operators_and_lines() {
        assert_eq!(show("a b && c || d; e | f\ng"), "a~b\n&& c\n|| d\n; e\n| f\n; g");
        assert_eq!(show("a &&\n\n b"), "a\n&& b");
        assert_eq!(show("\n\na\n"), "a");
        assert_eq!(show("a \\\n  b"), "a~b");
        assert_eq!(show("a \\\r\n  b\r\nc"), "a~b\n; c");
        assert_eq!(show(""), "");
        assert_eq!(show("  "), "");
    }

    #[test]
    fn quotes_and_escapes_are_removed() {
        assert_eq!(show(r#"echo "a b" 'c "d"' e\ f "g\"h" i'j'k"#), r#"echo~a b~c "d"~e f~g"h~ijk"#);
        assert_eq!(show(r#"echo "" ''"#), "echo~~");
        assert_eq!(show("echo 'it is'\\''nt'"), "echo~it is'nt");
    }

    #[test]
    fn variables_of_a_word_are_named() {
        let words = words(r#"echo $a ${b} ${c:-$d} "$e/f" '$g' \$h $1 $(i $j) `k` $((l+$m)) ~/n $ p"#);
        let found: Vec<(Vec<&str>, bool)> = words[1..].iter().map(|it| (it.variables.iter().map(String::as_str).collect(), it.computed)).collect();
        let expected: &[(&[&str], bool)] = &[
            (&["a"], false),
            (&["b"], false),
            (&["c", "d"], true),
            (&["e"], false),
            (&[], false),
            (&[], false),
            (&[], true),
            (&["j"], true),
            (&[], true),
            (&["m"], true),
            (&["HOME"], false),
            (&[], false),
            (&[], false),
        ];
        assert_eq!(found, expected.iter().map(|(a, b)| (a.to_vec(), *b)).collect::<Vec<_>>());
    }

    #[test]
    fn only_a_word_that_means_what_it_says_is_literal() {
        let literal: Vec<bool> = words("x a 'b c' d* 'e*' $f \"$g\" {h,i} {j} k{1..3} ~ ~root a[bc] ?").iter().map(|it| it.literal().is_some()).collect();
        assert_eq!(literal, [true, true, true, false, true, false, false, false, true, false, false, false, false, false]);
    }

    #[test]
    fn expansions_are_one_word_however_nested() {
        assert_eq!(words(r#"a $(b "$(c ')' d)" ) e"#).len(), 3);
        assert_eq!(words(r#"a ${b:-"c d}"} e"#).len(), 3);
        assert_eq!(words("a $((1 + (2 * 3))) e").len(), 3);
        assert_eq!(words("a `b \\`c\\`` e").len(), 3);
        assert_eq!(words("a <(b c) >(d e) f").len(), 4);
        assert_eq!(words("a \"$(b \"c d\")\" e").len(), 3);
        assert_eq!(words("a $((b); c) e").len(), 3);
    }

    #[test]
    fn comments_start_at_a_word_only() {
        assert_eq!(show("a # b && c\nd"), "a\n; d");
        assert_eq!(show("a#b"), "a#b");
        assert_eq!(show("# a\nb"), "b");
        assert_eq!(show("a '#' \"# b\""), "a~#~# b");
    }

    #[test]
    fn redirections_are_no_words() {
        assert_eq!(show("a > b 2>&1 >>c <d &>e 3<f >|g"), "a~>b~2>&1~>>c~<d~&>e~3<f~>|g");
        assert_eq!(show("a 2 > b"), "a~2~>b");
        assert_eq!(show("> a"), ">a");
        assert_eq!(show("a <<< b"), "a~<<<b");
        assert_eq!(show("{ a; b; } > c"), "  a\n  ; b\n; >c");
    }

    #[test]
    fn bodies_of_heredocs_are_skipped() {
        assert_eq!(show("cat <<EOF > f\na && b\n$c\nEOF\nd"), "cat~<<EOF~>f\n; d");
        assert_eq!(show("cat <<-'A' <<B\n\tx\n\tA\ny\nB\nd"), "cat~<<-A~<<B\n; d");
        assert_eq!(parse("cat <<EOF\n$c $(d)\nEOF").commands[0].redirects[0].target.variables, ["c"]);
        assert_eq!(parse("cat <<'EOF'\n$c\nEOF").commands[0].redirects[0].target.variables, [""; 0]);
        assert_eq!(show("cat <<EOF\na"), "cat~<<EOF\nan unfinished heredoc: EOF");
    }

    #[test]
    fn groups_are_listed_with_their_depth() {
        assert_eq!(show("(a; b) && { c; (d); }"), "  a\n  ; b\n  && c\n    ; d");
        assert_eq!(show("a || {\n b\n}"), "a\n  || b");
        assert_eq!(show("! a && b"), "a\n&& b");
        assert_eq!(show("((a) && (b))"), "    a\n    && b");
    }

    #[test]
    fn what_is_no_plain_list_is_named() {
        assert_eq!(show("if a; then b; else c; fi; d"), "  a\n  ; b\n  ; c\n; d\na condition: if");
        assert_eq!(show("for i in a b; do c $i; done && d"), "  ; c~$i\n&& d\na loop: for");
        assert_eq!(show("while a; do b; done"), "  a\n  ; b\na loop: while");
        assert_eq!(show("case $a in b|c) d ;; (*) e; esac; f"), "  ; d\n  ; e\n; f\na condition: case");
        assert_eq!(show("f() { a; }; b"), "  a\n; b\na function: f");
        assert_eq!(show("function f { a; }"), "  a\na function: function");
        assert_eq!(show("a & b"), "a\n; b\na background job: &");
        assert_eq!(show("for ((i=0; i<3; i++)); do a; done"), "  ; a\na loop: for");
    }

    #[test]
    fn words_like_reserved_ones_are_words_elsewhere() {
        assert_eq!(show("echo if for } done"), "echo~if~for~}~done");
        assert_eq!(show("a 'if'; \"for\" x"), "a~if\n; for~x");
        assert_eq!(show("case-x; iffy; then"), "case-x\n; iffy\n; then");
    }

    #[test]
    fn broken_text_is_read_as_far_as_it_goes() {
        assert_eq!(show("a 'b"), "a~b\nan unclosed quote: '");
        assert_eq!(show("a \"b"), "a~b\nan unclosed quote: \"");
        assert_eq!(show("a $(b"), "a~$(b\nan unclosed expansion: $(");
        assert_eq!(show("a ) b"), "a\n; b\na syntax error: )".replace("; b", "b"));
        assert_eq!(show("(a"), "  a\na syntax error:");
        assert_eq!(show("a >"), "a~>\na syntax error: >");
        assert_eq!(show("a; fi"), "a\na syntax error: fi");
    }

    #[test]
    fn tests_in_double_brackets_are_one_command() {
        assert_eq!(show("[[ -f a && $b > c ]] && d"), "[[~-f~a~&&~$b~>~c~]]\n&& d");
    }

    #[test]
    fn assignments_stand_in_front() {
        assert_eq!(show("A=1 B=\"x y\" c D=2"), "A=1~B=x y~c~D=2");
        assert_eq!(show("A=$(b) && c"), "A=$(b)\n&& c");
        assert_eq!(show("A=(x y) b"), "A=(x y)~b");
        assert_eq!(show("1A=2"), "1A=2");
        let command = &parse("A=$x b").commands[0];
        assert_eq!(command.assignments[0].1.variables, ["x"]);
        assert_eq!(command.assignments[0].1.span, Span::new(2, 4));
    }

    #[test]
    fn the_program_is_found_behind_its_wrappers() {
        let program = |text: &str| {
            let script = parse(text);
            script.commands[0].invocation().map(|it| (it.program().unwrap_or("?").to_owned(), it.plain))
        };
        let found = |name: &str, plain: bool| Some((name.to_owned(), plain));
        assert_eq!(program("npm ci"), found("npm", true));
        assert_eq!(program("/usr/bin/apt-get update"), found("apt-get", true));
        assert_eq!(program("sudo -E apt-get update"), found("apt-get", false));
        assert_eq!(program("sudo -u app npm ci"), found("npm", false));
        assert_eq!(program("env A=b C=$d npm ci"), found("npm", true));
        assert_eq!(program("env -i npm ci"), found("npm", false));
        assert_eq!(program("exec time -p nice -n 5 npm ci"), found("npm", true));
        assert_eq!(program("timeout 30 npm ci"), found("npm", true));
        assert_eq!(program("corepack pnpm install"), found("pnpm", true));
        assert_eq!(program("corepack enable"), found("corepack", true));
        assert_eq!(program("command npm ci"), found("npm", true));
        assert_eq!(program("command -v yarn"), found("command", true));
        assert_eq!(program("$NPM ci"), found("?", true));
        assert_eq!(program("A=b"), None);
        assert_eq!(program("sudo"), found("sudo", true));
        assert_eq!(parse("A=b env C=d npm ci").commands[0].environment(), [("A", "b"), ("C", "d")]);
    }

    #[test]
    fn options_of_the_shell_are_inert() {
        for text in ["set -e", "set -eux", "set -o pipefail", "set -euxo pipefail", "set +x", ":", "true", "set -e -o pipefail"] {
            assert!(parse(text).commands[0].is_inert(), "{text}");
        }
        for text in ["set", "set -f a", "set -- a", "set -o posix", "set $x", "true > a", "A=b", "false", "set -o"] {
            assert_eq!(parse(text).commands[0].is_inert(), text == "set", "{text}");
        }
    }

    #[test]
    fn variables_of_a_command_come_once() {
        assert_eq!(parse("A=$x b $y $x > $z").commands[0].variables(), ["x", "y", "z"]);
    }

    #[test]
    fn hostile_text_is_read_in_linear_time() {
        for piece in ["{", "((", "$(", "`", "\"$(", "<<A ", "a=(", "${a:-", "(", "case x in ", "[[ ", "&", "'", "sudo ", "if "] {
            let text = piece.repeat(50_000 / piece.len());
            assert!(parse(&text).commands.len() <= text.len());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_spans_lie_inside(text in "([a-z$(){}`'\"\\\\;&|<>\\[\\]#=! \n\t~é]|if |fi|do |done|for |case |esac|in |<<E|\nE\n){0,60}") {
            let script = parse(&text);
            for command in &script.commands {
                prop_assert!(text.get(command.span.start..command.span.end).is_some());
                for word in command.words.iter().chain(command.redirects.iter().map(|it| &it.target)) {
                    prop_assert!(text.get(word.span.start..word.span.end).is_some());
                }
                for (_, value) in &command.assignments {
                    prop_assert!(text.get(value.span.start..value.span.end).is_some());
                }
                command.environment();
                command.program();
            }
            if let Some((span, _)) = script.opaque {
                prop_assert!(text.get(span.start..span.end).is_some());
            }
        }
    }
}
