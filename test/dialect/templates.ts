/**
 * Chat templates in miniature: of each family only the marks by which it is known, in words of our own.
 */

/** By the dialect's name. */
export const TEMPLATES: Readonly<Record<string, string>> = {
  hermes: 'Answer in <think> and </think>. <tool_call>{{ call }}</tool_call>',
  'qwen-coder': '<think></think><tool_call>\n<function={{ f }}>\n<parameter={{ p }}>',
  glm: '<think></think><tool_call>{{ f }}\n<arg_key>{{ k }}</arg_key>\n<arg_value>',
  hunyuan: "'<think{}>'.format(':opensource') '<arg_key{}>'.format(':opensource')",
  minimax: '<think></think><minimax:tool_call><invoke name="{{ f }}">',
  minicpm: '<think></think><function name="{{ f }}"><param name="{{ p }}">',
  seed: '<seed:think></seed:think><seed:tool_call><function={{ f }}><parameter={{ p }}>',
  kimi: '<think></think><|tool_calls_section_begin|><|tool_call_begin|>{{ id }}',
  llama: '<|start_header_id|>{{ role }}<|end_header_id|>{ "parameters": {{ p }} }',
  'mistral-array': '[TOOL_CALLS][{{ calls }}]',
  mistral: '[THINK][/THINK][TOOL_CALLS]{{ f }}[ARGS]{{ p }}',
  lfm: '<think></think><|tool_call_start|>[{{ calls }}]<|tool_call_end|>',
  gemma: '<|channel>thought\n<channel|><|tool_call>call:{{ f }}{ {{ p }} }<tool_call|>',
  'deepseek-r1': '<think></think><｜tool▁calls▁begin｜>function\n```json\n{{ p }}',
  'deepseek-v3.1': '<think></think><｜tool▁calls▁begin｜>{{ f }}<｜tool▁sep｜>{{ p }}',
  'deepseek-v3.2': '<think></think><｜DSML｜function_calls>',
  'deepseek-v4': '<think></think><｜DSML｜tool_calls>',
  harmony: '<|start|>{{ role }}<|channel|>analysis<|message|>… <|channel|>final<|message|>',
  granite: 'Write <|tool_call|> and a list.',
  phi: '<|tool_call|>[{{ calls }}]<|/tool_call|>',
  'command-r': '<|START_THINKING|><|END_THINKING|><|START_ACTION|>[{{ calls }}]',
  'command-r-plus': 'Action:\n```json\n[{"tool_name": "{{ f }}"}]```',
  'function-tag': '<function={{ f }}>{{ p }}</function>',
  firefunction: 'functools[{{ calls }}]',
  toolcall: '<think></think><TOOLCALL>[{{ calls }}]</TOOLCALL>',
  'tool-calls': '<thinking></thinking><tool_calls>[{{ calls }}]</tool_calls>',
  'tool-calls-lines': '<tool_calls>\n{{ call }}\n</tool_calls>',
  apertus: '<|tools_prefix|>[{{ calls }}]<|tools_suffix|>',
  solar: '<|begin|>assistant<|think|>{{ t }}<|end|><|tool_call:begin|>{{ id }}',
  gigachat: '<|function_call|>{{ call }}',
  functionary: 'Each part has a recipient. >>>all',
  plain: '<|user|>{{ content }}<|assistant|>',
};
