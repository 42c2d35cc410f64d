//! Chat templates against what transformers makes of them, and hostile ones.

use kernels::chat::{Conversation, Message, Template};
use kernels::tokenizer::TokenizerConfig;
use serde_json::Value;

const MARKS: [(&str, &str); 2] = [("bos_token", "<s>"), ("eos_token", "</s>")];

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn message(value: &Value) -> Message {
    let [role, content] = ["role", "content"].map(|name| text(&value[name]).unwrap());
    Message { role, content, more: text(&value["more"]) }
}

fn conversation(case: &Value) -> Conversation {
    let variables = case["variables"].as_object().unwrap().iter();
    Conversation {
        messages: case["messages"].as_array().unwrap().iter().map(message).collect(),
        tools: text(&case["tools"]),
        add_generation_prompt: case["prompt"].as_bool().unwrap(),
        now: 1_700_000_000,
        variables: variables.map(|(name, value)| (name.clone(), value.to_string())).collect(),
    }
}

/// Made by `references/chat.py`.
#[test]
fn templates_write_what_transformers_writes() {
    let golden: Value = serde_json::from_str(include_str!("data/chat.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 90);
    let mut wrong = Vec::new();
    for case in cases {
        let name = case["template"].as_str().unwrap();
        let what = format!("{name}, {}, prompt {}", case["conversation"], case["prompt"]);
        let template = Template::new(golden["templates"][name].as_str().unwrap(), &MARKS).expect(name);
        match (template.render(&conversation(case)), case["expected"].as_str()) {
            (Ok(found), Some(expected)) if found == expected => {}
            (Err(found), None) if found.to_string().contains(case["expected"]["error"].as_str().unwrap()) => {
            }
            (found, _) => wrong.push(format!("{what}\n expected {}\n found    {found:?}", case["expected"])),
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn render(source: &str) -> Result<String, kernels::Error> {
    let messages = vec![Message::new("user", "hi")];
    Template::new(source, &MARKS)?.render(&Conversation {
        messages,
        now: 1_721_988_306,
        ..Conversation::default()
    })
}

/// Rows: source, why it would hurt. Each has to fail soon, and without filling the memory.
#[test]
fn hostile_templates_are_an_error() {
    let rows = [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "hangs"),
        (
            "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
            "doubles",
        ),
        (
            "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
            "doubles",
        ),
        (
            "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}",
            "a tree",
        ),
        (
            "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
            "a list",
        ),
        ("{% set n = namespace() %}{% set n.x = n %}{{ n }}", "holds itself"),
        ("{% set n = namespace() %}{% set n.x = [n] %}{{ n }}", "holds itself in a list"),
        ("{% set a = 'x' * 99999999 %}{{ a }}", "a long text"),
        ("{{ [0] * 99999999 }}", "a long list"),
        ("{{ 'x' * 90000000 ~ 'x' * 90000000 }}", "two long texts"),
        (
            "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x | replace('a', n.x) %}{% endfor %}",
            "replaces",
        ),
        (
            "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x.replace('a', n.x) %}{% endfor %}",
            "replaces",
        ),
        (
            "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = [n.x, n.x] | join(n.x) %}{% endfor %}",
            "joins",
        ),
        (
            "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x.join([n.x, n.x]) %}{% endfor %}",
            "joins",
        ),
        (
            "{% macro f(x, n) %}{% if n %}{{ f(x ~ x, n - 1) }}{% endif %}{% endmacro %}{{ f('ab', 60) }}",
            "recurses",
        ),
        ("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", "recurses for ever"),
        (
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% else %}0123456789{% endif %}{% endmacro %}{{ f(40) }}",
            "a tree of calls",
        ),
        (
            "{% for i in range(99999) %}{% for j in range(9) %}0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789{% endfor %}{% endfor %}",
            "writes",
        ),
        (
            "{% set x %}{% for i in range(99999) %}{% for j in range(9) %}0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789{% endfor %}{% endfor %}{% endset %}",
            "keeps",
        ),
        ("{{ '%999999999d' | format(1) }}", "pads"),
        ("{{ '{:999999999}'.format(1) }}", "pads"),
        ("{{ [1] | batch(999999999, 'x') | list }}", "fills"),
        (
            "{% for i in range(99999) %}{% set x = messages | tojson | tojson | tojson | tojson %}{% endfor %}",
            "works",
        ),
        ("{{ __weigh('x') }}", "names what counts"),
        ("{% include 'x' %}", "includes"),
        ("{% extends 'x' %}", "extends"),
        ("{{ raise_exception('as it says') }}", "refuses"),
        ("{{ missing.field }}", "asks for what is not there"),
        ("{% if %}", "no Jinja"),
        ("{{", "no end"),
    ];
    for (source, why) in rows {
        let started = std::time::Instant::now();
        assert!(render(source).is_err(), "{why}: {source}");
        assert!(started.elapsed().as_secs() < 20, "{why} took {:?}: {source}", started.elapsed());
    }
    let deep = format!("{}1{}", "{{ ".to_owned() + &"(".repeat(20_000), ")".repeat(20_000) + " }}");
    assert!(render(&deep).is_err(), "nests");
    let long = format!("{{{{ {} }}}}", vec!["'x'"; 5000].join(" ~ "));
    assert!(render(&long).is_err(), "a long chain");
    assert!(Template::new(&" ".repeat((64 << 10) + 1), &[]).is_err(), "too long");
}

#[test]
fn errors_say_what_the_template_says() {
    let error = render("{{ raise_exception('Roles must alternate') }}").unwrap_err().to_string();
    assert!(error.contains("Roles must alternate"), "{error}");
    let error =
        render("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}").unwrap_err();
    assert!(error.to_string().contains("too many steps"), "{error}");
}

#[test]
fn the_day_is_the_callers() {
    assert_eq!(render("{{ strftime_now('%d %B %Y') }}").unwrap(), "26 July 2024");
}

/// Rows: `tokenizer_config.json`, `chat_template.jinja`, whether there are tools, what is written.
#[test]
fn a_folder_has_one_template_or_several() {
    let several = r#"{"bos_token": "<s>", "chat_template": [{"name": "default", "template": "d{{ bos_token }}"},
        {"name": "tool_use", "template": "t"}]}"#;
    let rows = [
        (r#"{"chat_template": "one"}"#, None, false, Some("one")),
        (several, None, false, Some("d<s>")),
        (several, None, true, Some("t")),
        (several, Some("file {{ bos_token }}"), true, Some("file <s>")),
        ("{}", None, false, None),
    ];
    for (json, file, tools, expected) in rows {
        let config = TokenizerConfig::from_json(json.as_bytes()).unwrap();
        let template = Template::of(&config, file, tools).unwrap();
        let written = template.map(|template| template.render(&Conversation::default()).unwrap());
        assert_eq!(written.as_deref(), expected, "{json}");
    }
}
