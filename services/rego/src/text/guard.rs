//! What a module must be before it is parsed at all.

use super::Problem;
use super::lexer::{Kind, Lexer};

/// The most bytes a module may have.
pub const MAX_BYTES: usize = 256 * 1024;
/// How deep brackets may nest: the engine's parser doubles its time with each level.
pub const MAX_DEPTH: usize = 8;
/// The longest line, in bytes.
pub const MAX_LINE_BYTES: usize = 16 * 1024;
/// The most lines.
pub const MAX_LINES: usize = 10_000;
/// The most tokens: more than any policy a person wrote.
pub const MAX_TOKENS: usize = 60_000;

/// Looks at the text of a module in one pass; whatever it refuses is named with its place.
pub fn check(module: &str, text: &str) -> Result<(), Problem> {
    let problem = |line, column, detail: String| Problem::new(module, line, column, detail);
    if text.trim().is_empty() {
        return Err(problem(1, 1, "the module is empty".to_owned()));
    }
    if text.len() > MAX_BYTES {
        return Err(problem(0, 0, format!("the module has {} bytes, at most {MAX_BYTES} are allowed", text.len())));
    }
    check_lines(text).map_err(|(line, column, detail)| problem(line, column, detail))?;

    let mut open = Vec::new();
    for (count, token) in Lexer::new(text).enumerate() {
        let token = token.map_err(|unreadable| {
            let place = unreadable.place;
            problem(place.line, place.column, unreadable.detail.to_owned())
        })?;
        let (line, column) = (token.place.line, token.place.column);
        if count >= MAX_TOKENS {
            return Err(problem(line, column, format!("the module has more than {MAX_TOKENS} tokens")));
        }
        match token.kind {
            Kind::Open(bracket) => {
                if open.len() >= MAX_DEPTH {
                    return Err(problem(line, column, format!("brackets nest deeper than {MAX_DEPTH} levels")));
                }
                open.push((bracket, line, column));
            }
            Kind::Close(bracket) => match open.pop() {
                Some((opened, ..)) if closing(opened) == bracket => {}
                Some((opened, opened_line, _)) => {
                    return Err(problem(
                        line,
                        column,
                        format!("`{bracket}` closes the `{opened}` of line {opened_line}"),
                    ));
                }
                None => {
                    return Err(problem(line, column, format!("`{bracket}` closes nothing")));
                }
            },
            Kind::Word | Kind::Text | Kind::Other => {}
        }
    }
    match open.pop() {
        Some((bracket, line, column)) => Err(problem(line, column, format!("this `{bracket}` is not closed"))),
        None => Ok(()),
    }
}

/// How deep brackets nest in a text that [`check`] accepts.
#[must_use]
pub fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for token in Lexer::new(text).map_while(Result::ok) {
        match token.kind {
            Kind::Open(_) => depth = depth.saturating_add(1),
            Kind::Close(_) => depth = depth.saturating_sub(1),
            Kind::Word | Kind::Text | Kind::Other => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn closing(opened: char) -> char {
    match opened {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}

fn check_lines(text: &str) -> Result<(), (u32, u32, String)> {
    for (index, line) in text.split('\n').enumerate() {
        let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        if index >= MAX_LINES {
            return Err((number, 1, format!("the module has more than {MAX_LINES} lines")));
        }
        if line.len() > MAX_LINE_BYTES {
            return Err((number, 1, format!("the line is longer than {MAX_LINE_BYTES} bytes; break it after a comma")));
        }
        if let Some(before) =
            line.chars().position(|character| character.is_control() && character != '\t' && character != '\r')
        {
            let column = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
            return Err((number, column, "a control character".to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> (u32, u32, String) {
        let problem = check("m", text).unwrap_err();
        (problem.line, problem.column, problem.detail)
    }

    #[test]
    fn an_ordinary_policy_passes() {
        let text = "package runwarden.authz\n\ndefault allow := false\n\nallow if {\n\tsome role in input.principal.roles\n\trole in {\"launcher\", \"[[[[[[[[[[\"} # ((((((((((\n}\n";
        check("m", text).unwrap();
    }

    #[test]
    fn nesting_is_bounded_before_anything_parses_it() {
        let fits = format!("x := {}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        check("m", &fits).unwrap();
        for bracket in ["[", "{", "("] {
            let deep = format!("package a\nx := {}", bracket.repeat(24));
            let (line, column, detail) = refusal(&deep);
            assert_eq!((line, column), (2, 14));
            assert!(detail.contains("deeper than 8"), "{detail}");
        }
    }

    #[test]
    fn every_limit_names_its_place() {
        assert_eq!(refusal("a\n\u{0}").0, 2);
        assert_eq!(refusal("a\nb\u{7}").1, 2);
        assert!(refusal(&"x".repeat(MAX_LINE_BYTES + 1)).2.contains("longer"));
        assert!(refusal(&"x \n".repeat(MAX_BYTES / 2)).2.contains("bytes"));
        assert!(refusal(&"\n".repeat(MAX_LINES + 1)).2.contains("empty"));
        assert!(refusal(&"x\n".repeat(MAX_LINES + 1)).2.contains("lines"));
        assert!(refusal(&"x , x , x , x , x , x ,\n".repeat(6_000)).2.contains("tokens"));
        assert!(refusal("  \n\t").2.contains("empty"));
    }

    #[test]
    fn brackets_must_pair() {
        assert_eq!(refusal("x := [1)\n").2, "`)` closes the `[` of line 1");
        assert_eq!(refusal("x := 1]").2, "`]` closes nothing");
        assert_eq!(refusal("a\n x := {").0, 2);
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(text in any::<String>()) {
            let _ = check("m", &text);
        }

        #[test]
        fn what_passes_is_never_too_deep(text in "[a-z(){}\\[\\] \n\"`#]{0,200}") {
            if check("m", &text).is_ok() {
                let (mut depth, mut deepest) = (0_usize, 0);
                for token in Lexer::new(&text).map(Result::unwrap) {
                    match token.kind {
                        Kind::Open(_) => { depth += 1; deepest = deepest.max(depth); }
                        Kind::Close(_) => depth -= 1,
                        _ => {}
                    }
                }
                prop_assert_eq!(depth, 0);
                prop_assert!(deepest <= MAX_DEPTH);
            }
        }
    }
}
