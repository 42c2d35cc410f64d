//! Text of a kernel: WGSL with constants, conditional lines and lines that repeat.
//!
//! WGSL has neither templates nor a way to ask for an unrolled loop, and software adapters do not unroll: an array
//! that is indexed by a loop variable then lies in memory instead of in registers. So lines are repeated here.
//!
//! ```text
//! $NAME              the constant NAME, or the counter of an enclosing #for
//! #for i NAME … #end the lines between, NAME times, with $i = 0, 1, …
//! #if NAME … #end    the lines between, if NAME is not zero
//! ```

use std::fmt::Write;

/// A constant of a kernel: part of what tells two compiled kernels apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Const {
    /// A count, an index, a flag.
    Count(u32),
    /// The bits of a finite number.
    Real(u32),
}

/// Constants by name.
pub type Consts = Vec<(&'static str, Const)>;

impl From<usize> for Const {
    fn from(count: usize) -> Self {
        Self::Count(u32::try_from(count).expect("sizes of kernels are below 2³²"))
    }
}

impl From<bool> for Const {
    fn from(flag: bool) -> Self {
        Self::Count(u32::from(flag))
    }
}

impl From<f32> for Const {
    fn from(real: f32) -> Self {
        assert!(real.is_finite(), "WGSL has no literal for {real}");
        Self::Real(real.to_bits())
    }
}

impl Const {
    fn text(self) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            Self::Real(bits) => format!("{:e}f", f32::from_bits(bits)),
        }
    }
}

/// The WGSL that `template` stands for.
///
/// # Panics
/// On an unknown name or an unclosed block: templates are part of this crate, so both are mistakes in it.
pub(super) fn expand(template: &str, consts: &Consts) -> String {
    let mut names: Vec<(String, String)> =
        consts.iter().map(|(name, value)| ((*name).to_owned(), value.text())).collect();
    // Longer names first, so that $ROWS is not taken for $ROW followed by an S.
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let lines: Vec<&str> = template.lines().collect();
    let mut out = String::with_capacity(2 * template.len());
    block(&lines, &mut names, &mut out);
    out
}

fn block(lines: &[&str], names: &mut Vec<(String, String)>, out: &mut String) {
    let mut at = 0;
    while at < lines.len() {
        let words: Vec<&str> = lines[at].split_whitespace().collect();
        match words.as_slice() {
            ["#for", counter, count] => {
                let end = closing(lines, at);
                repeat(&lines[at + 1..end], counter, number(count, names), names, out);
                at = end;
            }
            ["#if", condition] => {
                let end = closing(lines, at);
                if number(condition, names) != 0 {
                    block(&lines[at + 1..end], names, out);
                }
                at = end;
            }
            _ => writeln!(out, "{}", fill(lines[at], names)).expect("a string takes all text"),
        }
        at += 1;
    }
}

fn repeat(lines: &[&str], counter: &str, count: u32, names: &mut Vec<(String, String)>, out: &mut String) {
    for index in 0..count {
        // Counters are single letters and stand last, so that no name of a constant begins with one of them.
        names.push((counter.to_owned(), index.to_string()));
        block(lines, names, out);
        names.pop();
    }
}

/// The `#end` that belongs to the directive at `start`.
fn closing(lines: &[&str], start: usize) -> usize {
    let mut depth = 0;
    for (at, line) in lines.iter().enumerate().skip(start) {
        match line.split_whitespace().next() {
            Some("#for" | "#if") => depth += 1,
            Some("#end") if depth == 1 => return at,
            Some("#end") => depth -= 1,
            _ => {}
        }
    }
    panic!("no #end for line {start}: {}", lines[start]);
}

fn number(name: &str, names: &[(String, String)]) -> u32 {
    let value = names.iter().find(|(known, _)| known == name).map_or(name, |(_, value)| value);
    value.parse().unwrap_or_else(|_| panic!("{name} is not a count"))
}

fn fill(line: &str, names: &[(String, String)]) -> String {
    if !line.contains('$') {
        return line.to_owned();
    }
    let filled =
        names.iter().fold(line.to_owned(), |line, (name, value)| line.replace(&format!("${name}"), value));
    assert!(!filled.contains('$'), "an unknown name in: {filled}");
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_repeat_and_nest() {
        let template = "#for r ROWS\n#for m 2\nlet a_$r_$m = $ROWS;\n#end\n#end\nend";
        let text = expand(template, &vec![("ROWS", 2_usize.into())]);
        assert_eq!(text, "let a_0_0 = 2;\nlet a_0_1 = 2;\nlet a_1_0 = 2;\nlet a_1_1 = 2;\nend\n");
    }

    #[test]
    fn conditions_hide_their_lines() {
        let template = "#if YES\nyes\n#end\n#if NO\nno\n#if YES\ninner\n#end\n#end";
        assert_eq!(expand(template, &vec![("YES", true.into()), ("NO", false.into())]), "yes\n");
    }

    #[test]
    fn a_longer_name_wins() {
        let consts = vec![("ROW", 1_usize.into()), ("ROWS", 2_usize.into())];
        assert_eq!(expand("$ROWS $ROW", &consts), "2 1\n");
    }

    #[test]
    fn reals_are_written_exactly() {
        let text = expand("$EPS", &vec![("EPS", 1e-5_f32.into())]);
        assert_eq!(text.trim().trim_end_matches('f').parse::<f32>(), Ok(1e-5));
    }

    #[test]
    #[should_panic(expected = "unknown name")]
    fn an_unknown_name_is_noticed() {
        expand("$NOPE", &vec![]);
    }
}
