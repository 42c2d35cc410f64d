//! Conversations as the text that a model was trained to answer: chat templates, which are Jinja.
//!
//! A template comes with a model, from anywhere, and is run here: so it is bounded in instructions, in the text that
//! it works on, in what it writes, and in depth, and it reaches nothing but the conversation.

mod clock;
mod json;
mod meter;
mod print;

use crate::error::Error;
use crate::limits;
use crate::tokenizer::TokenizerConfig;
use meter::Meter;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, ErrorKind, Value, machinery};
use std::collections::BTreeMap;

/// How one model's conversations are written.
#[derive(Debug, Clone)]
pub struct Template {
    /// Its source with everything that can grow counted: see [`print`].
    metered: String,
    /// `bos_token`, `eos_token` and their like.
    marks: Vec<(String, String)>,
}

/// What a template is given.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// All that was said, oldest first; a system prompt is the first one.
    pub messages: Vec<Message>,
    /// Tools as a JSON array, which templates that know tools describe to the model.
    pub tools: Option<String>,
    /// End with the beginning of the model's answer.
    pub add_generation_prompt: bool,
    /// Seconds since 1970 in the person's own time zone, for templates that name the day; 0 where there is no clock.
    pub now: u64,
    /// Further variables as JSON, `enable_thinking` and `false` for one.
    pub variables: Vec<(String, String)>,
}

/// One turn.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`; templates may know others.
    pub role: String,
    /// What was said.
    pub content: String,
    /// Further fields as a JSON object, such as `tool_calls`; they stay as they are.
    pub more: Option<String>,
}

impl Message {
    /// A turn with nothing but a text.
    #[must_use]
    pub fn new(role: &str, content: &str) -> Self {
        Self { role: role.to_owned(), content: content.to_owned(), more: None }
    }
}

impl Template {
    /// Reads a template's source, from GGUF's `tokenizer.chat_template` or a `chat_template.jinja`. `marks` are texts
    /// that it may name, `bos_token` and `eos_token` above all.
    ///
    /// # Errors
    /// [`Error::Chat`] if it is too long, or not Jinja as chat templates use it.
    pub fn new(source: &str, marks: &[(&str, &str)]) -> Result<Self, Error> {
        if source.len() > limits::TEMPLATE_BYTES || source.contains(print::RESERVED) {
            let reason = format!(
                "{} bytes, {} at most, without {}",
                source.len(),
                limits::TEMPLATE_BYTES,
                print::RESERVED
            );
            return Err(Error::Chat(reason));
        }
        let source = prepared(source);
        // As in transformers.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        let syntax = syntax.map_err(|error| told(&error))?;
        let parsed = machinery::parse(&source, "chat template", syntax).map_err(|error| told(&error))?;
        let metered = print::template(&parsed)?;
        let marks = marks.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Ok(Self { metered, marks })
    }

    /// The template of a model folder: `chat_template.jinja` where there is one, else that of `tokenizer_config.json`, the one
    /// for tools if there are any. None if the model has none.
    ///
    /// # Errors
    /// As [`Template::new`].
    pub fn of(config: &TokenizerConfig, jinja: Option<&str>, tools: bool) -> Result<Option<Self>, Error> {
        let named = |name: &str| config.templates.iter().find(|(other, _)| other == name);
        let with_tools = named("tool_use").filter(|_| tools);
        let listed = with_tools.or_else(|| named("default")).or(config.templates.first());
        let Some(source) = jinja.or(listed.map(|(_, source)| source.as_str())) else { return Ok(None) };
        let ends = [("bos_token", config.bos.as_deref()), ("eos_token", config.eos.as_deref())];
        let ends = ends.into_iter().filter_map(|(name, text)| Some((name, text?)));
        let others = config.others.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        Self::new(source, &ends.chain(others).collect::<Vec<_>>()).map(Some)
    }

    /// The text of a conversation. It holds the marks that start it, if the template writes any.
    ///
    /// # Errors
    /// [`Error::Chat`] with what the template itself says is wrong (`raise_exception`), if it fails, or if it needs
    /// more than the limits allow.
    pub fn render(&self, conversation: &Conversation) -> Result<String, Error> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(limits::CHAT_FUEL));
        environment.set_recursion_limit(limits::CHAT_DEPTH);
        Meter::new().install(&mut environment);
        environment.add_function("raise_exception", raise);
        let now = conversation.now;
        environment.add_function("strftime_now", move |format: String| clock::strftime(&format, now));
        let text = environment
            .render_str(&self.metered, self.context(conversation)?)
            .map_err(|error| told(&error))?;
        if text.len() > limits::TEXT_BYTES {
            return Err(Error::Chat(format!(
                "it wrote {} bytes, {} at most",
                text.len(),
                limits::TEXT_BYTES
            )));
        }
        Ok(text)
    }

    fn context(&self, conversation: &Conversation) -> Result<BTreeMap<String, Value>, Error> {
        let messages = conversation.messages.iter().map(message).collect::<Result<Vec<_>, _>>()?;
        let mut context: BTreeMap<String, Value> =
            self.marks.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))).collect();
        context.insert("messages".into(), Value::from(messages));
        context.insert("add_generation_prompt".into(), conversation.add_generation_prompt.into());
        context
            .insert("tools".into(), conversation.tools.as_deref().map_or(Ok(Value::from(())), json_value)?);
        for (name, json) in &conversation.variables {
            context.insert(name.clone(), json_value(json)?);
        }
        Ok(context)
    }
}

fn message(message: &Message) -> Result<Value, Error> {
    let more = message.more.as_deref().map_or("{}", str::trim);
    if json_value(more)?.kind() != ValueKind::Map {
        return Err(Error::Chat("the further fields of a message are no JSON object".into()));
    }
    let [role, content] =
        [&message.role, &message.content].map(|text| serde_json::Value::from(text.as_str()));
    let more = more[1..more.len() - 1].trim();
    let comma = if more.is_empty() { "" } else { ", " };
    // Written and read again, because that keeps the order of the fields, which templates may print.
    json_value(&format!(r#"{{"role": {role}, "content": {content}{comma}{more}}}"#))
}

/// JSON with its fields in their order.
fn json_value(json: &str) -> Result<Value, Error> {
    serde_json::from_str(json)
        .map_err(|error| Error::Chat(format!("tools, fields or variables are no JSON: {error}")))
}

fn raise(message: String) -> Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// An error with all of its causes, in one line.
fn told(error: &minijinja::Error) -> Error {
    let limit = if error.kind() == ErrorKind::OutOfFuel { " (it takes too many steps)" } else { "" };
    let line = error.line().map_or(String::new(), |line| format!(", line {line}"));
    Error::Chat(format!("{}{limit}{line}", error.detail().map_or(error.kind().to_string(), str::to_owned)))
}

/// The source in the dialect that minijinja reads. `{% generation %}` marks what a model is trained on, and does nothing
/// in writing; a backslash at the end of a line joins a text with the next line, as in Python.
fn prepared(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%").into_iter().chain(rest.find("{{")).min() {
        let closing = if rest[start..].starts_with("{%") { "%}" } else { "}}" };
        let Some(length) = rest[start..].find(closing) else { break };
        let (tag, end) = (rest[start + 2..start + length].replace("\\\n", ""), start + length + 2);
        let tag = match tag.trim_matches(['-', '+']).trim() {
            "generation" if closing == "%}" => tag.replace("generation", "if true"),
            "endgeneration" if closing == "%}" => tag.replace("endgeneration", "endif"),
            _ => tag,
        };
        out.extend([&rest[..start + 2], &tag, closing]);
        rest = &rest[end..];
    }
    out + rest
}
