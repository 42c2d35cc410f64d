//! What a template may use while it runs, and the functions and filters that count it.

use super::json;
use super::print::RESERVED;
use crate::limits;
use minijinja::value::{Kwargs, Rest, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may still be looked at, copied or written in one rendering.
#[derive(Debug, Clone)]
pub(super) struct Meter(Arc<AtomicUsize>);

/// Lists in lists. Source: guess; JSON schemas of tools nest about ten deep.
const DEPTH: usize = 48;

impl Meter {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(limits::CHAT_WORK)))
    }

    /// Everything that counts, for an environment that renders once.
    pub(super) fn install(&self, environment: &mut Environment<'_>) {
        let meter = self.clone();
        environment.add_function(RESERVED, move |value: Value| meter.value(value, true));
        let meter = self.clone();
        environment.add_function(format!("{RESERVED}_inner"), move |value: Value| meter.value(value, false));
        let meter = self.clone();
        environment
            .add_function(format!("{RESERVED}_product"), move |a: Value, b: Value| meter.product(&a, &b));
        let meter = self.clone();
        environment.set_formatter(move |out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value| {
            meter.write(out, value)
        });
        let meter = self.clone();
        environment.add_filter("tojson", move |value: Value, kwargs: Kwargs| {
            meter.weigh(&value)?;
            json::write(&value, &kwargs)
        });
        self.install_texts(environment);
    }

    /// Filters and methods that make a long text of short ones.
    fn install_texts(&self, environment: &mut Environment<'_>) {
        let meter = self.clone();
        environment.add_filter(
            "replace",
            move |text: String, old: String, new: String, count: Option<i64>| {
                meter.replace(&text, &old, &new, count)
            },
        );
        let meter = self.clone();
        environment.add_filter("join", move |list: Value, between: Option<String>, kwargs: Kwargs| {
            let attribute: Option<String> = kwargs.get("attribute")?;
            meter.join(&list, between.as_deref().unwrap_or_default(), attribute.as_deref())
        });
        environment.add_filter("indent", |text: Value, args: Rest<Value>| indent(&text, &args));
        // Widths of millions hide in formats and batches; no chat template is known to need them.
        for name in ["format", "batch", "slice", "pprint", "zip", "chain", "groupby"] {
            environment.remove_filter(name);
        }
        environment.remove_global("debug");
        let meter = self.clone();
        environment.set_unknown_method_callback(move |state, value, method, args| {
            match (value.as_str(), method) {
                (Some(text), "replace") => {
                    let (old, new, count): (&str, &str, Option<i64>) = from_args(args)?;
                    meter.replace(text, old, new, count).map(Value::from)
                }
                (Some(between), "join") => {
                    let (list,): (Value,) = from_args(args)?;
                    meter.join(&list, between, None).map(Value::from)
                }
                (Some(_), "format") => Err(refused("str.format is not available")),
                _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args),
            }
        });
    }

    fn charge(&self, bytes: usize) -> Result<(), Error> {
        let spend = |left: usize| left.checked_sub(bytes);
        let spent = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        spent.map(|_| ()).map_err(|_| refused("the template works on too much text"))
    }

    /// A value that is going to be copied, compared or kept. A namespace is one only where it `may_be_namespace`, and never
    /// inside of anything.
    fn value(&self, value: Value, may_be_namespace: bool) -> Result<Value, Error> {
        if !may_be_namespace && is_namespace(&value) {
            return Err(refused("a namespace inside of another"));
        }
        self.weigh(&value)?;
        Ok(value)
    }

    fn weigh(&self, value: &Value) -> Result<(), Error> {
        self.charge(weight(value, 0)?)
    }

    fn write(&self, out: &mut Output<'_>, value: &Value) -> Result<(), Error> {
        self.weigh(value)?;
        match value.as_str() {
            Some(text) => out.write_str(text),
            None if value.is_none() => out.write_str("None"),
            None => write!(out, "{value}"),
        }
        .map_err(Error::from)
    }

    fn product(&self, a: &Value, b: &Value) -> Result<Value, Error> {
        let text = a.as_str().map(|text| (text, b)).or_else(|| b.as_str().map(|text| (text, a)));
        if let Some((text, count)) = text {
            let count = count.as_i64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
            self.charge(text.len().saturating_mul(count))?;
            return Ok(Value::from(text.repeat(count)));
        }
        if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
            return a.checked_mul(b).map(Value::from).ok_or_else(|| refused("a product is too large"));
        }
        match (f64::try_from(a.clone()), f64::try_from(b.clone())) {
            (Ok(a), Ok(b)) => Ok(Value::from(a * b)),
            _ => Err(refused("only numbers and texts can be multiplied")),
        }
    }

    fn replace(&self, text: &str, old: &str, new: &str, count: Option<i64>) -> Result<String, Error> {
        let most = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
        let found = text.matches(old).count().min(most);
        self.charge(text.len().saturating_add(found.saturating_mul(new.len())))?;
        Ok(text.replacen(old, new, most))
    }

    fn join(&self, list: &Value, between: &str, attribute: Option<&str>) -> Result<String, Error> {
        let mut joined = String::new();
        for (index, item) in list.try_iter()?.enumerate() {
            let item = attribute.map_or(Ok(item.clone()), |name| item.get_attr(name))?;
            self.charge(weight(&item, 0)?.saturating_add(between.len()))?;
            if index > 0 {
                joined.push_str(between);
            }
            match item.as_str() {
                Some(text) => joined.push_str(text),
                None => write!(joined, "{item}").map_err(Error::from)?,
            }
        }
        Ok(joined)
    }
}

/// Bytes of a value with everything in it, in the order of what printing it takes. Shared parts count each time, as
/// they do in printing.
fn weight(value: &Value, depth: usize) -> Result<usize, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.len() + 1);
    }
    if depth == DEPTH || (depth > 0 && is_namespace(value)) {
        return Err(refused("lists in lists, too deep"));
    }
    let children = match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => value.try_iter()?,
        _ => return Ok(8),
    };
    let is_map = value.kind() == ValueKind::Map;
    let mut sum: usize = 8;
    for child in children {
        sum += weight(&child, depth + 1)?;
        if is_map {
            sum += weight(&value.get_item(&child)?, depth + 1)?;
        }
        if sum > limits::CHAT_WORK {
            return Err(refused("a value is too large"));
        }
    }
    Ok(sum)
}

fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("Namespace"))
}

fn refused(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

/// Jinja's `indent(width=4, first=False, blank=False)`.
fn indent(text: &Value, args: &[Value]) -> Result<String, Error> {
    let (width, first, blank, kwargs): (Option<usize>, Option<bool>, Option<bool>, Kwargs) = from_args(args)?;
    let width = width.or(kwargs.get("width")?).unwrap_or(4).min(64);
    let first = first.or(kwargs.get("first")?).unwrap_or(false);
    let blank = blank.or(kwargs.get("blank")?).unwrap_or(false);
    let text = text.to_string();
    let line = |(index, line): (usize, &str)| {
        let indented = (index > 0 || first) && (blank || !line.is_empty());
        format!("{}{line}", if indented { " ".repeat(width) } else { String::new() })
    };
    Ok(text.split('\n').enumerate().map(line).collect::<Vec<_>>().join("\n"))
}
