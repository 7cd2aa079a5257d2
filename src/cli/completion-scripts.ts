/** Scripts by which shells complete `preftune`. They hold all names, so that no key press starts a program. */
import type { CompletedCommand, CompletedOption, Completions } from "./completion-model.ts";

/** The script for bash, 3.2 or newer. */
export function bashScript({ commands, keys }: Completions): string {
  return `# bash completion of preftune, written by: preftune completion bash
_preftune() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} command='' words='' i
  COMPREPLY=()
  # --key=value is three words to bash
  if [[ $before == = ]]; then before=\${COMP_WORDS[COMP_CWORD - 2]}; fi
  if [[ $current == = ]]; then current=''; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${command:+$command }\${COMP_WORDS[i]}" in
    ${pathPattern(commands)}) command="\${command:+$command }\${COMP_WORDS[i]}" ;;
    esac
  done
  case "$command:$before" in
${valueCases(commands, (takes) => (takes === "anything" ? "return" : `words=${quoted(takes)}`))}
  esac
  case "$command" in
  ${keyPattern(commands)})
    case "$before" in
${keyCases(keys, (takes) => (takes === "anything" ? "return" : `words=${quoted(takes)}`))}
    esac
    ;;
  esac
  if [[ -z $words ]]; then
    case "$command" in
${commands.map((command) => `    ${word(command.path)}) ${bashWords(command)} ;;`).join("\n")}
    esac
  fi
  if [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$current")); fi
}
_preftune_keys='${keys.map(({ name }) => name).join(" ")}'
complete -o default -F _preftune preftune
`;
}

/** What sets `words` where no option waits for its value: options after a dash, else subcommands. */
function bashWords({ options, subcommands, takesKeys }: CompletedCommand): string {
  const names = options.map(({ name }) => name).join(" ");
  const dashed = takesKeys ? `"${names} $_preftune_keys"` : `'${names}'`;
  const others = subcommands.map(({ name }) => name).join(" ");
  return `if [[ $current == -* ]]; then words=${dashed}; else words='${others}'; fi`;
}

/** The script for zsh: to be read by a start file, or as the function `_preftune` in a folder of `fpath`. */
export function zshScript({ commands, keys }: Completions): string {
  return `#compdef preftune
# zsh completion of preftune, written by: preftune completion zsh
_preftune() {
  local command='' each before="\${words[CURRENT-1]}"
  local -a names
  for each in "\${(@)words[2,CURRENT-1]}"; do
    case "\${command:+$command }$each" in
    ${pathPattern(commands)}) command="\${command:+$command }$each" ;;
    esac
  done
  if [[ $PREFIX == --*=* ]]; then
    before="\${PREFIX%%=*}"
    compset -P '*='
  fi
  case "$command:$before" in
${valueCases(commands, (takes) => (takes === "anything" ? "_files; return" : `compadd -- ${takes.map(word).join(" ")}; return`))}
  esac
  case "$command" in
  ${keyPattern(commands)})
    case "$before" in
${keyCases(keys, (takes) => (takes === "anything" ? "_files; return" : `compadd -- ${takes.map(word).join(" ")}; return`))}
    esac
    ;;
  esac
  case "$command" in
${commands.map((command) => `  ${word(command.path)}) ${zshNames(command)} ;;`).join("\n")}
  esac
  if (( \${#names} )); then _describe command names; else _files; fi
}
typeset -ga _preftune_keys
_preftune_keys=(${keys.map(described).join(" ")})
if [[ "$funcstack[1]" == _preftune ]]; then _preftune "$@"; else compdef _preftune preftune; fi
`;
}

function zshNames({ options, subcommands, takesKeys }: CompletedCommand): string {
  const dashed = `${options.map(described).join(" ")}${takesKeys ? ` "\${(@)_preftune_keys}"` : ""}`;
  return `if [[ $PREFIX == -* ]]; then names=(${dashed}); else names=(${subcommands.map(described).join(" ")}); fi`;
}

/** `name:text` as `_describe` takes it. */
function described({ name, text }: { name: string; text: string }): string {
  return word(`${name.replaceAll(":", "\\\\:")}:${text}`);
}

/** The script for fish. */
export function fishScript({ commands, keys }: Completions): string {
  const paths = commands.filter(({ path }) => path !== "").map(({ path }) => word(path));
  const own = commands.flatMap(({ path, options, subcommands }) => [
    ...subcommands.map(
      ({ name, text }) =>
        `complete -c preftune -n "__preftune_is '${path}'" -f -a ${word(name)} -d ${word(text)}`,
    ),
    ...options.map((option) => fishOption(`__preftune_is '${path}'`, option)),
  ]);
  return `# fish completion of preftune, written by: preftune completion fish
function __preftune_command
    set -l command ''
    for each in (commandline -opc)[2..-1]
        set -l longer (string trim -- "$command $each")
        if contains -- "$longer" ${paths.join(" ")}
            set command $longer
        end
    end
    echo $command
end
function __preftune_is
    test (__preftune_command) = "$argv[1]"
end
function __preftune_takes_keys
    contains -- (__preftune_command) ${keyPaths(commands).map(word).join(" ")}
end
complete -c preftune -n "__preftune_is ''" -f
${[...own, ...keys.map((key) => fishOption("__preftune_takes_keys", key))].join("\n")}
`;
}

function fishOption(condition: string, { name, text, takes }: CompletedOption): string {
  const value = takes === "nothing" ? "" : takes === "anything" ? " -r" : ` -x -a ${word(takes.join(" "))}`;
  return `complete -c preftune -n "${condition}" -l ${word(name.replace(/^--/, ""))}${value} -d ${word(text)}`;
}

/** Text as one word of any of the shells. */
function word(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "’")}'`;
}

function quoted(words: readonly string[] | "nothing"): string {
  return typeof words === "string" ? "''" : `'${words.join(" ")}'`;
}

/** Commands as a pattern of `case`. */
function pathPattern(commands: readonly CompletedCommand[]): string {
  return commands.flatMap(({ path }) => (path === "" ? [] : [word(path)])).join(" | ");
}

function keyPaths(commands: readonly CompletedCommand[]): string[] {
  return commands.flatMap(({ path, takesKeys }) => (takesKeys ? [path] : []));
}

function keyPattern(commands: readonly CompletedCommand[]): string {
  return keyPaths(commands).map(word).join(" | ");
}

type Write = (takes: readonly string[] | "anything") => string;

/** A case for each set of options that take the same. */
function casesOf(
  patterns: readonly { pattern: string; takes: CompletedOption["takes"] }[],
  write: Write,
): string[] {
  const byBody = new Map<string, string[]>();
  for (const { pattern, takes } of patterns) {
    if (takes === "nothing") continue;
    const body = write(takes);
    byBody.set(body, [...(byBody.get(body) ?? []), pattern]);
  }
  return [...byBody].map(([body, all]) => `${all.join(" | ")}) ${body} ;;`);
}

function valueCases(commands: readonly CompletedCommand[], write: Write): string {
  const patterns = commands.flatMap(({ path, options }) =>
    options.map(({ name, takes }) => ({ pattern: word(`${path}:${name}`), takes })),
  );
  return casesOf(patterns, write)
    .map((line) => `  ${line}`)
    .join("\n");
}

function keyCases(keys: readonly CompletedOption[], write: Write): string {
  return casesOf(
    keys.map(({ name, takes }) => ({ pattern: name, takes })),
    write,
  )
    .map((line) => `    ${line}`)
    .join("\n");
}
