"""Writes tests/data/chat.json: what transformers makes of conversations, for templates in the usual styles.

    python -m venv venv && venv/bin/pip install transformers==5.23.0 jinja2==3.1.6
    venv/bin/python kernels/references/chat.py

The templates are our own, short ones; each is in the style of a family and uses what that family's uses of Jinja.
"""

import json
import pathlib

from transformers.utils.chat_template_utils import render_jinja_template

SYSTEM = {"role": "system", "content": "You are  terse.\n"}
USER = {"role": "user", "content": " Hello, \"wörld\" <b>&</b>"}
ANSWER = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHi!"}
AGAIN = {"role": "user", "content": "And\nagain?"}
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"type": "function", "function": {"name": "weather", "arguments": {"place": "Zürich", "days": 3, "exact": True}}}]}
RESULT = {"role": "tool", "content": "21.5"}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather at a place.", "parameters": {
    "type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer", "default": None}},
    "required": ["place"]}}}]

TEMPLATES = {
    "chatml": """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""",
    "llama-3": """{% set loop_messages = messages %}
{%- for message in loop_messages %}
    {%- set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' %}
    {%- if loop.index0 == 0 %}
        {%- set content = bos_token + content %}
    {%- endif %}
    {{- content }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "llama-3.1": """{{- bos_token }}
{%- if strftime_now is defined %}{% set date_string = strftime_now("%d %b %Y") %}{% else %}{% set date_string = "26 Jul 2024" %}{% endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}{% if tools is not none %}
{{- "Environment: ipython\\n" }}
{%- for t in tools %}
    {{- t | tojson(indent=4) }}
    {{- "\\n\\n" }}
{%- endfor %}
{%- endif %}
{{- "Day: " ~ (date_string | length) ~ "\\n" ~ system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("one call at a time") }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '{"name": "' + call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or (message.content is iterable and message.content is not string) %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
""",
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    "gemma": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}""",
    "mistral": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set ns = namespace(index=0) %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token }}
    {%- endif %}
{%- endfor %}
{{- ns.index }}""",
    "phi-3": """{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}""",
    "qwen3": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or (not loop.last and reasoning_content)) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "everything": """{#- a comment -#}
{%- set long = "one \\
line" %}{{ long }} {{ "it's" }} {{ 'say "so"' }} {{ "tab\\tü\\u00e9" }}
{%- macro turn(role, text='nothing') -%}
[{{ role | upper }}: {{ text.replace('\\n', ' / ') | trim }}]
{%- endmacro -%}
{% generation %}{{ messages | map(attribute='role') | join(', ') }}{% endgeneration %}
{%- for message in messages if message.role != 'tool' -%}
    {%- if loop.index > 3 %}{% break %}{% endif -%}
    {{ turn(message.role, message.content) }}{{ turn('x') }}
{%- endfor %}
{%- set block %}{{ messages | length * 2 }} {{ 'ab' * 3 }} {{ 7 // 2 }} {{ 2 ** 5 }} {{ 7 % 4 }} {{ 1 / 2 }} {{ -3 }}{% endset %}
{{ block }} {{ none }} {{ true }} {{ [1, 2] + [3] }} {{ {'a': 'b'}['a'] }} {{ 'x' if false else 'y' }} {{ missing | default('z') }}
{% raw %}{{ raw }}{% endraw %} {{ 1 < 2 < 3 }} {{ 'a' in 'cat' and 'b' not in ['c'] }} {{ 'text'[1:3] }} {{ 'a-b'.split('-')[-1] }}
{%- for key, value in {'k': 1, 'a': 2}.items() %} {{ key ~ '=' ~ value }}{% endfor %}
{%- set ns = namespace(found=false, text='') %}
{%- for n in range(3) %}{% set ns.text = ns.text ~ n %}{% set ns.found = n == 1 or ns.found %}{% endfor %} {{ ns.text }} {{ ns.found }}
  {%- with a = 1 %} {{ a }}{% endwith %} {{ messages | selectattr('role', 'equalto', 'user') | list | length }}""",
}

CONVERSATIONS = {
    "one question": ([USER], None, {}),
    "with a system prompt": ([SYSTEM, USER, ANSWER, AGAIN], None, {}),
    "a second question": ([USER, ANSWER, AGAIN], None, {}),
    "tools": ([SYSTEM, USER, CALL, RESULT], TOOLS, {}),
    "without thinking": ([USER], None, {"enable_thinking": False}),
}


def render(template, messages, tools, prompt, variables):
    try:
        rendered, _ = render_jinja_template(
            conversations=[messages], tools=tools, chat_template=template, add_generation_prompt=prompt,
            bos_token="<s>", eos_token="</s>", **variables)
        return rendered[0]
    except Exception as error:  # raise_exception, above all
        return {"error": str(error)}


def split(message):
    """The further fields as text, so that their order survives every reader."""
    rest = {name: value for name, value in message.items() if name not in ("role", "content")}
    return {"role": message["role"], "content": message["content"], "more": json.dumps(rest)}


cases = [
    {"template": name, "conversation": said, "messages": [split(message) for message in messages], "tools": tools and json.dumps(tools), "prompt": prompt,
     "variables": variables, "expected": render(template, messages, tools, prompt, variables)}
    for name, template in TEMPLATES.items()
    for said, (messages, tools, variables) in CONVERSATIONS.items()
    for prompt in (False, True)
]
out = pathlib.Path(__file__).parent.parent / "tests/data/chat.json"
out.write_text(json.dumps({"templates": TEMPLATES, "cases": cases}, ensure_ascii=False, indent=1) + "\n")
print(len(cases), "cases,", sum(isinstance(case["expected"], dict) for case in cases), "of them refused")
