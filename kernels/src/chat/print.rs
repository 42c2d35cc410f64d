//! A template, written down again so that whatever can grow is counted while it runs.
//!
//! minijinja counts instructions, but one instruction may double a text, and thirty of those fill any memory. So
//! the parsed template is printed with a call of `__weigh` around every operand and every stored value, and with its
//! plain text as values, which the formatter counts. The calls refuse what is too large: see [`super::meter`].

use crate::error::Error;
use crate::limits;
use minijinja::Value;
use minijinja::machinery::ast::{BinOpKind, CallArg, CompareOpKind, Expr, Filter, Macro, Stmt, UnaryOpKind};
use std::fmt::Write;

/// Prefix of the functions that count; no template may use it.
pub(super) const RESERVED: &str = "__weigh";
/// Operands of one chain of additions. Source: guess; each is copied once per operand after it.
const CHAIN: usize = 256;
/// Filters and methods that take a value of any size in no time.
const LIGHT: [&str; 13] = [
    "length", "count", "first", "last", "default", "d", "items", "get", "keys", "values", "cycle", "changed",
    "list",
];

/// The printed form of a parsed template.
///
/// # Errors
/// [`Error::Chat`] for statements that need other templates.
pub(super) fn template(statement: &Stmt<'_>) -> Result<String, Error> {
    let mut printer = Printer { out: String::new() };
    printer.statement(statement)?;
    Ok(printer.out)
}

struct Printer {
    out: String,
}

impl Printer {
    fn body(&mut self, body: &[Stmt<'_>]) -> Result<(), Error> {
        body.iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &Stmt<'_>) -> Result<(), Error> {
        if self.out.len() > 16 * limits::TEMPLATE_BYTES {
            return Err(Error::Chat("it is too deeply nested".into()));
        }
        match statement {
            Stmt::Template(template) => self.body(&template.children)?,
            Stmt::EmitExpr(emit) => self.put(&format!("{{{{ {} }}}}", expr(&emit.expr)?)),
            Stmt::EmitRaw(emit) => self.put(&format!("{{{{ {} }}}}", quoted(emit.raw))),
            Stmt::IfCond(_) => self.condition(statement, "if")?,
            Stmt::ForLoop(each) => {
                let filter = option(" if ", each.filter_expr.as_ref())?;
                let recursive = if each.recursive { " recursive" } else { "" };
                let head =
                    format!("for {} in {}{filter}{recursive}", target(&each.target)?, weighed(&each.iter)?);
                self.block(&head, &each.body, Some(&each.else_body), "endfor")?;
            }
            Stmt::WithBlock(with) => {
                let pair = |(name, value): &(Expr<'_>, Expr<'_>)| {
                    Ok(format!("{} = {}", target(name)?, weighed(value)?))
                };
                let pairs: Vec<String> = with.assignments.iter().map(pair).collect::<Result<_, Error>>()?;
                self.block(&format!("with {}", pairs.join(", ")), &with.body, None, "endwith")?;
            }
            Stmt::Set(set) => {
                self.tag(&format!("set {} = {}", target(&set.target)?, stored(&set.target, &set.expr)?))
            }
            Stmt::SetBlock(set) => {
                let filter =
                    set.filter.as_ref().map(chain).transpose()?.map_or(String::new(), |f| format!(" | {f}"));
                self.block(&format!("set {}{filter}", target(&set.target)?), &set.body, None, "endset")?;
            }
            Stmt::FilterBlock(block) => {
                self.block(&format!("filter {}", chain(&block.filter)?), &block.body, None, "endfilter")?;
            }
            // Prompts are not HTML.
            Stmt::AutoEscape(block) => self.body(&block.body)?,
            Stmt::Block(block) => self.body(&block.body)?,
            Stmt::Macro(makro) => {
                self.block(
                    &format!("macro {}{}", makro.name, parameters(makro)?),
                    &makro.body,
                    None,
                    "endmacro",
                )?;
            }
            Stmt::CallBlock(block) => {
                let call = call(&block.call.expr, &block.call.args)?;
                let head = format!("call{} {call}", parameters(&block.macro_decl)?);
                self.block(&head, &block.macro_decl.body, None, "endcall")?;
            }
            Stmt::Do(action) => self.tag(&format!("do {}", call(&action.call.expr, &action.call.args)?)),
            Stmt::Continue(_) => self.tag("continue"),
            Stmt::Break(_) => self.tag("break"),
            Stmt::Import(_) | Stmt::FromImport(_) | Stmt::Extends(_) | Stmt::Include(_) => {
                return Err(Error::Chat("it includes another template; a chat template stands alone".into()));
            }
        }
        Ok(())
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn tag(&mut self, text: &str) {
        let _ = write!(self.out, "{{% {text} %}}");
    }

    fn block(
        &mut self,
        head: &str,
        body: &[Stmt<'_>],
        other: Option<&[Stmt<'_>]>,
        end: &str,
    ) -> Result<(), Error> {
        self.tag(head);
        self.body(body)?;
        if let Some(other) = other.filter(|other| !other.is_empty()) {
            self.tag("else");
            self.body(other)?;
        }
        self.tag(end);
        Ok(())
    }

    fn condition(&mut self, statement: &Stmt<'_>, keyword: &str) -> Result<(), Error> {
        let Stmt::IfCond(condition) = statement else { return self.statement(statement) };
        self.tag(&format!("{keyword} {}", expr(&condition.expr)?));
        self.body(&condition.true_body)?;
        if let [Stmt::IfCond(_)] = condition.false_body[..] {
            return self.condition(&condition.false_body[0], "elif");
        }
        if !condition.false_body.is_empty() {
            self.tag("else");
            self.body(&condition.false_body)?;
        }
        self.tag("endif");
        Ok(())
    }
}

/// Parameters of a macro. What they are called with is weighed by the caller.
fn parameters(makro: &Macro<'_>) -> Result<String, Error> {
    let plain = makro.args.len().saturating_sub(makro.defaults.len());
    let parameter = |(index, name): (usize, &Expr<'_>)| match index.checked_sub(plain) {
        Some(at) => Ok(format!("{} = {}", target(name)?, expr(&makro.defaults[at])?)),
        None => target(name),
    };
    let list: Vec<String> = makro.args.iter().enumerate().map(parameter).collect::<Result<_, Error>>()?;
    Ok(format!("({})", list.join(", ")))
}

/// What is assigned to: names, attributes of namespaces, or several.
fn target(expr: &Expr<'_>) -> Result<String, Error> {
    match expr {
        Expr::Var(var) => Ok(var.id.to_owned()),
        Expr::GetAttr(attr) => Ok(format!("{}.{}", target(&attr.expr)?, attr.name)),
        Expr::List(list) => Ok(format!("({},)", many(&list.items, target)?)),
        Expr::Tuple(tuple) => Ok(format!("({},)", many(&tuple.items, target)?)),
        _ => Err(Error::Chat(format!("it assigns to a {}", expr.description()))),
    }
}

/// A namespace may not hold another one: they could hold each other, and then printing one never ends.
fn stored(target: &Expr<'_>, value: &Expr<'_>) -> Result<String, Error> {
    match target {
        Expr::GetAttr(_) => Ok(format!("{RESERVED}_inner({})", expr(value)?)),
        _ => weighed(value),
    }
}

fn weighed(value: &Expr<'_>) -> Result<String, Error> {
    match value {
        Expr::Const(constant) => self::constant(&constant.value),
        _ => Ok(format!("{RESERVED}({})", expr(value)?)),
    }
}

fn many(list: &[Expr<'_>], print: impl Fn(&Expr<'_>) -> Result<String, Error>) -> Result<String, Error> {
    Ok(list.iter().map(print).collect::<Result<Vec<_>, _>>()?.join(", "))
}

fn option(before: &str, value: Option<&Expr<'_>>) -> Result<String, Error> {
    value.map_or(Ok(String::new()), |value| Ok(format!("{before}{}", expr(value)?)))
}

fn expr(value: &Expr<'_>) -> Result<String, Error> {
    Ok(match value {
        Expr::Var(var) => var.id.to_owned(),
        Expr::Const(constant) => self::constant(&constant.value)?,
        Expr::Slice(slice) => {
            let [start, stop] = [&slice.start, &slice.stop].map(|part| option("", part.as_ref()));
            let step = option(":", slice.step.as_ref())?;
            format!("{}[{}:{}{step}]", expr(&slice.expr)?, start?, stop?)
        }
        Expr::UnaryOp(unary) => match unary.op {
            UnaryOpKind::Not => format!("(not {})", expr(&unary.expr)?),
            UnaryOpKind::Neg => format!("(-{})", expr(&unary.expr)?),
        },
        Expr::BinOp(_) => binary(value)?,
        Expr::Compare(compare) => {
            let mut all = weighed(&compare.expr)?;
            for next in &compare.ops {
                let _ = write!(all, " {} {}", comparison(next.op), weighed(&next.expr)?);
            }
            format!("({all})")
        }
        Expr::IfExpr(choice) => {
            let other = option(" else ", choice.false_expr.as_ref())?;
            format!("({} if {}{other})", expr(&choice.true_expr)?, expr(&choice.test_expr)?)
        }
        Expr::Filter(_) => format!("({})", chain(value)?),
        Expr::Test(test) => {
            let light = test.args.is_empty();
            let operand = if light { expr(&test.expr)? } else { weighed(&test.expr)? };
            let list = if light { String::new() } else { format!("({})", arguments(&test.args)?) };
            format!("({operand} is {}{list})", test.name)
        }
        Expr::GetAttr(attr) => format!("{}.{}", expr(&attr.expr)?, attr.name),
        Expr::GetItem(item) => format!("{}[{}]", expr(&item.expr)?, expr(&item.subscript_expr)?),
        Expr::Call(made) => call(&made.expr, &made.args)?,
        Expr::List(list) => format!("[{}]", many(&list.items, expr)?),
        Expr::Tuple(tuple) => format!("({},)", many(&tuple.items, expr)?),
        Expr::Map(map) => {
            let pair = |(key, value): (&Expr<'_>, &Expr<'_>)| Ok(format!("{}: {}", expr(key)?, expr(value)?));
            let pairs = map.keys.iter().zip(&map.values).map(pair);
            format!("{{{}}}", pairs.collect::<Result<Vec<_>, Error>>()?.join(", "))
        }
    })
}

fn binary(value: &Expr<'_>) -> Result<String, Error> {
    let Expr::BinOp(node) = value else { return weighed(value) };
    let sign = match node.op {
        BinOpKind::Mul => {
            return Ok(format!("{RESERVED}_product({}, {})", expr(&node.left)?, expr(&node.right)?));
        }
        // Short circuits must not look at what they do not need.
        BinOpKind::ScAnd => return Ok(format!("({} and {})", expr(&node.left)?, expr(&node.right)?)),
        BinOpKind::ScOr => return Ok(format!("({} or {})", expr(&node.left)?, expr(&node.right)?)),
        BinOpKind::Add | BinOpKind::Concat => return sum(value),
        BinOpKind::Eq => "==",
        BinOpKind::Ne => "!=",
        BinOpKind::Lt => "<",
        BinOpKind::Lte => "<=",
        BinOpKind::Gt => ">",
        BinOpKind::Gte => ">=",
        BinOpKind::In => "in",
        BinOpKind::Sub => "-",
        BinOpKind::Div => "/",
        BinOpKind::FloorDiv => "//",
        BinOpKind::Rem => "%",
        BinOpKind::Pow => "**",
    };
    Ok(format!("({} {sign} {})", weighed(&node.left)?, weighed(&node.right)?))
}

/// A chain of additions without parentheses, so that it nests no deeper than it did.
fn sum(value: &Expr<'_>) -> Result<String, Error> {
    let Expr::BinOp(first) = value else { return weighed(value) };
    let is_sum = |op| matches!(op, BinOpKind::Add | BinOpKind::Concat);
    let sign = |op| if matches!(op, BinOpKind::Add) { " + " } else { " ~ " };
    let same = |op: BinOpKind| is_sum(op) && sign(op) == sign(first.op);
    let (mut left, mut parts) = (&first.left, vec![weighed(&first.right)?]);
    while let Expr::BinOp(node) = left
        && same(node.op)
        && parts.len() < CHAIN
    {
        parts.push(weighed(&node.right)?);
        left = &node.left;
    }
    if parts.len() == CHAIN {
        return Err(Error::Chat(format!("it adds more than {CHAIN} values at once")));
    }
    parts.push(weighed(left)?);
    parts.reverse();
    Ok(format!("({})", parts.join(sign(first.op))))
}

const fn comparison(op: CompareOpKind) -> &'static str {
    match op {
        CompareOpKind::Eq => "==",
        CompareOpKind::Ne => "!=",
        CompareOpKind::Lt => "<",
        CompareOpKind::Lte => "<=",
        CompareOpKind::Gt => ">",
        CompareOpKind::Gte => ">=",
        CompareOpKind::In => "in",
        CompareOpKind::NotIn => "not in",
    }
}

/// A filter, after what it is applied to; in a block that is the block.
fn chain(value: &Expr<'_>) -> Result<String, Error> {
    let Expr::Filter(filter) = value else { return expr(value) };
    let Filter { name, expr: operand, args } = &**filter;
    let operand = match operand {
        Some(operand) if LIGHT.contains(name) => format!("{} | ", expr(operand)?),
        Some(operand @ Expr::Filter(inner)) if inner.expr.is_none() => format!("{} | ", chain(operand)?),
        Some(operand) => format!("{} | ", weighed(operand)?),
        None => String::new(),
    };
    let list = if args.is_empty() { String::new() } else { format!("({})", arguments(args)?) };
    Ok(format!("{operand}{name}{list}"))
}

fn call(callee: &Expr<'_>, args: &[CallArg<'_>]) -> Result<String, Error> {
    let name = match callee {
        Expr::GetAttr(method) if !LIGHT.contains(&method.name) => {
            format!("{}.{}", receiver(&method.expr)?, method.name)
        }
        _ => expr(callee)?,
    };
    Ok(format!("{name}({})", arguments(args)?))
}

/// What a method is called on. A constant needs parentheses no more than a name does.
fn receiver(value: &Expr<'_>) -> Result<String, Error> {
    match value {
        // `loop` and `self` are no values, and cannot grow.
        Expr::Var(var) if ["loop", "self", "caller"].contains(&var.id) => Ok(var.id.to_owned()),
        _ => weighed(value),
    }
}

fn arguments(args: &[CallArg<'_>]) -> Result<String, Error> {
    let print = |arg: &CallArg<'_>| {
        Ok(match arg {
            CallArg::Pos(value) => weighed(value)?,
            CallArg::Kwarg(name, value) => format!("{name}={}", weighed(value)?),
            CallArg::PosSplat(value) => format!("*{}", weighed(value)?),
            CallArg::KwargSplat(value) => format!("**{}", weighed(value)?),
        })
    };
    Ok(args.iter().map(print).collect::<Result<Vec<_>, Error>>()?.join(", "))
}

fn constant(value: &Value) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(quoted(text));
    }
    if value.is_none() {
        return Ok("none".into());
    }
    serde_json::to_string(value)
        .map_err(|error| Error::Chat(format!("it has a constant without a form: {error}")))
}

/// A text as JSON writes it, which Jinja reads.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
