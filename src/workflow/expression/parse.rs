//! From text to [`Expression`].

use super::{Constant, Expression, Operator};

/// Longer expressions are refused by GitHub.
const MAX_LENGTH: usize = 21_000;

/// Deeper expressions are refused by GitHub. All that walks an [`Expression`] may recurse.
const MAX_DEPTH: usize = 50;

/// Parses what stands between `${{` and `}}`; `None` for what GitHub would refuse.
pub fn parse(text: &str) -> Option<Expression> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let res = parser.expression()?;
    (parser.at == parser.tokens.len()).then_some(res)
}

#[derive(Debug, Clone, PartialEq)]
enum Token<'a> {
    /// One of `( ) [ ] , . * !`.
    Mark(u8),
    Operator(Operator),
    And,
    Or,
    Literal(Constant),
    Name(&'a str),
}

fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let bytes = text.as_bytes();
    let mut res: Vec<Token> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = bytes.get(at + 1);
        let (token, end) = match (byte, next) {
            (b' ' | b'\t' | b'\r' | b'\n', _) => {
                at += 1;
                continue;
            }
            (b'&', Some(b'&')) => (Token::And, at + 2),
            (b'|', Some(b'|')) => (Token::Or, at + 2),
            (b'=', Some(b'=')) => (Token::Operator(Operator::Equal), at + 2),
            (b'!', Some(b'=')) => (Token::Operator(Operator::NotEqual), at + 2),
            (b'<', Some(b'=')) => (Token::Operator(Operator::LessOrEqual), at + 2),
            (b'>', Some(b'=')) => (Token::Operator(Operator::GreaterOrEqual), at + 2),
            (b'<', _) => (Token::Operator(Operator::Less), at + 1),
            (b'>', _) => (Token::Operator(Operator::Greater), at + 1),
            (b'.', _) if follows_value(res.last()) => (Token::Mark(b'.'), at + 1),
            (b'(' | b')' | b'[' | b']' | b',' | b'*' | b'!', _) => (Token::Mark(*byte), at + 1),
            (b'\'', _) => {
                let (string, end) = string(text, at)?;
                (Token::Literal(Constant::Text(string)), end)
            }
            (b'0'..=b'9' | b'+' | b'-' | b'.', _) => {
                let end = word_end(bytes, at, true);
                (Token::Literal(Constant::Number(number(text.get(at..end)?)?)), end)
            }
            _ => {
                let end = word_end(bytes, at, false);
                let is_property = res.last() == Some(&Token::Mark(b'.'));
                (word(text.get(at..end)?, is_property)?, end)
            }
        };
        res.push(token);
        at = end;
    }
    Some(res)
}

/// Whether a dot behind `token` begins a property, and not a number.
fn follows_value(token: Option<&Token>) -> bool {
    matches!(token, Some(Token::Name(_) | Token::Mark(b')' | b']' | b'*')))
}

/// The string that begins at `at`, and where it ends.
fn string(text: &str, at: usize) -> Option<(String, usize)> {
    let mut res = String::new();
    let mut from = at + 1;
    loop {
        let quote = from + text.get(from..)?.find('\'')?;
        res.push_str(text.get(from..quote)?);
        if text.as_bytes().get(quote + 1) != Some(&b'\'') {
            return Some((res, quote + 1));
        }
        res.push('\'');
        from = quote + 2;
    }
}

/// The end of a name or number.
fn word_end(bytes: &[u8], at: usize, is_number: bool) -> usize {
    let ends = |it: &u8| it.is_ascii_whitespace() || b"([)],!><=&|".contains(it) || (*it == b'.' && !is_number);
    let rest = bytes.get(at + 1..).unwrap_or_default();
    at + 1 + rest.iter().position(ends).unwrap_or(rest.len())
}

fn word(text: &str, is_property: bool) -> Option<Token<'_>> {
    let literal = match text {
        _ if is_property => None,
        "true" => Some(Constant::Bool(true)),
        "false" => Some(Constant::Bool(false)),
        "null" => Some(Constant::Null),
        "NaN" => Some(Constant::Number(f64::NAN)),
        "Infinity" => Some(Constant::Number(f64::INFINITY)),
        _ => None,
    };
    match literal {
        Some(literal) => Some(Token::Literal(literal)),
        None => is_name(text).then_some(Token::Name(text)),
    }
}

/// Whether `text` may stand as a name: letters, digits, `_` and `-`, a letter or `_` first.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_') && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it))
}

/// A number as it is written: decimal, `0x…`, `0o…`, with a sign.
pub(super) fn number(text: &str) -> Option<f64> {
    let radix = |prefix: &str, radix: u32| {
        let digits = text.strip_prefix(prefix)?;
        let good = !digits.is_empty() && digits.chars().all(|it| it.is_digit(radix));
        good.then(|| digits.chars().fold(0.0, |res, it| res * f64::from(radix) + f64::from(it.to_digit(radix).unwrap_or(0))))
    };
    if let Some(res) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Some(res);
    }
    match text {
        "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust would take words such as `inf` too.
        _ if text.bytes().all(|it| it.is_ascii_digit() || b"+-.eE".contains(&it)) => text.parse().ok(),
        _ => None,
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn next_is(&mut self, token: &Token) -> bool {
        let found = self.tokens.get(self.at) == Some(token);
        self.at += usize::from(found);
        found
    }

    fn mark(&mut self, mark: u8) -> bool {
        self.next_is(&Token::Mark(mark))
    }

    /// Counts one level more while `inside` parses; `None` where that is too many.
    fn nested<T>(&mut self, inside: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let res = inside(self);
        self.depth -= 1;
        res
    }

    fn expression(&mut self) -> Option<Expression> {
        self.nested(|it| it.list(&Token::Or, Expression::Or, |it| it.list(&Token::And, Expression::And, Self::equality)))
    }

    fn list(&mut self, operator: &Token, whole: fn(Vec<Expression>) -> Expression, operand: impl Fn(&mut Self) -> Option<Expression>) -> Option<Expression> {
        let first = operand(self)?;
        if self.tokens.get(self.at) != Some(operator) {
            return Some(first);
        }
        let mut operands = vec![first];
        while self.next_is(operator) {
            operands.push(operand(self)?);
        }
        Some(whole(operands))
    }

    fn equality(&mut self) -> Option<Expression> {
        self.comparison(|it| matches!(it, Operator::Equal | Operator::NotEqual), Self::relation)
    }

    fn relation(&mut self) -> Option<Expression> {
        self.comparison(|it| !matches!(it, Operator::Equal | Operator::NotEqual), Self::unary)
    }

    fn comparison(&mut self, level: impl Fn(Operator) -> bool, operand: impl Fn(&mut Self) -> Option<Expression>) -> Option<Expression> {
        let mut res = operand(self)?;
        let mut n_operators = 0;
        while let Some(Token::Operator(operator)) = self.tokens.get(self.at)
            && level(*operator)
        {
            let operator = *operator;
            self.at += 1;
            n_operators += 1;
            if self.depth + n_operators > MAX_DEPTH {
                return None;
            }
            res = Expression::Compare(operator, Box::new(res), Box::new(operand(self)?));
        }
        Some(res)
    }

    fn unary(&mut self) -> Option<Expression> {
        if self.mark(b'!') {
            return self.nested(|it| Some(Expression::Not(Box::new(it.unary()?))));
        }
        self.postfix()
    }

    fn postfix(&mut self) -> Option<Expression> {
        let is_literal = matches!(self.tokens.get(self.at), Some(Token::Literal(_)));
        let mut res = self.primary()?;
        if is_literal {
            // Nothing can be taken out of it, unless it is in parentheses.
            return Some(res);
        }
        let mut n_levels = 0;
        loop {
            res = if self.mark(b'.') {
                if self.mark(b'*') {
                    Expression::Star(Box::new(res))
                } else {
                    let Some(Token::Name(name)) = self.tokens.get(self.at).cloned() else { return None };
                    self.at += 1;
                    property(res, name)
                }
            } else if self.mark(b'[') {
                let index = if self.mark(b'*') { None } else { Some(self.expression()?) };
                if !self.mark(b']') {
                    return None;
                }
                match index {
                    None => Expression::Star(Box::new(res)),
                    Some(Expression::Literal(Constant::Text(name))) => property(res, &name),
                    Some(index) => Expression::Index(Box::new(res), Box::new(index)),
                }
            } else {
                break;
            };
            n_levels += 1;
            if self.depth + n_levels > MAX_DEPTH {
                return None;
            }
        }
        Some(res)
    }

    fn primary(&mut self) -> Option<Expression> {
        let token = self.tokens.get(self.at).cloned()?;
        self.at += 1;
        match token {
            Token::Literal(constant) => Some(Expression::Literal(constant)),
            Token::Mark(b'(') => {
                let res = self.expression()?;
                self.mark(b')').then_some(res)
            }
            // In lower case they would be literals; no context or function has such a name.
            Token::Name(name) if ["true", "false", "null"].iter().any(|it| it.eq_ignore_ascii_case(name)) => None,
            Token::Name(name) if self.mark(b'(') => {
                let mut arguments = Vec::new();
                while !self.mark(b')') {
                    arguments.push(self.expression()?);
                    if self.tokens.get(self.at) != Some(&Token::Mark(b')')) && !self.mark(b',') {
                        return None;
                    }
                }
                Some(Expression::Call(name.to_ascii_lowercase(), arguments))
            }
            Token::Name(name) => Some(Expression::Context(name.to_ascii_lowercase())),
            _ => None,
        }
    }
}

fn property(base: Expression, name: &str) -> Expression {
    let name = match &base {
        Expression::Context(context) if context == "env" => name.to_owned(),
        _ => name.to_lowercase(),
    };
    Expression::Property(Box::new(base), name)
}
