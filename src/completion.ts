import type { Command, Option } from 'commander'

/** What the definition of a command offers to who types it. */
type Offer = { name: string; description: string; options: readonly Option[]; arguments: readonly string[] }

const offersOf = (program: Command): Offer[] =>
  program
    .createHelp()
    .visibleCommands(program)
    .map((command) => ({
      name: command.name(),
      description: command.description(),
      options: command.createHelp().visibleOptions(command),
      arguments: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
    }))

const flagsOf = ({ short, long }: Option): string[] => [short, long].filter((flag) => flag !== undefined)

/** `'a' | 'b') WHAT ;;` */
const branch = (patterns: readonly string[], what: string): string => `    ${patterns.join(' | ')}) ${what} ;;`

const offering = (values: readonly string[]): string => `values='${values.join(' ')}'`

const bash = (program: Command): string => {
  const offers = offersOf(program)
  const first = [...offers.map(({ name }) => name), ...program.createHelp().visibleOptions(program).flatMap(flagsOf)]
  const values = offers.flatMap(({ name, options }) =>
    options
      .filter(({ required }) => required)
      .map((option) => {
        const patterns = flagsOf(option).map((flag) => `${name}:${flag}:*`)
        return branch(patterns, option.argChoices === undefined ? 'return' : offering(option.argChoices))
      }),
  )
  const rest = offers.flatMap(({ name, options, arguments: choices }) => [
    branch([`${name}:*:-*`], offering(options.flatMap(flagsOf))),
    ...(choices.length === 0 ? [] : [branch([`${name}:*`], offering(choices))]),
  ])
  // Where there is nothing to offer the shell offers files. Bash makes a word of the equals sign in --option=value.
  return `_meshvip() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD - 1]}" values=
  if [[ "$current" == '=' ]]; then
    current=
  elif [[ "$previous" == '=' ]]; then
    previous="\${COMP_WORDS[COMP_CWORD - 2]}"
  fi
  if [[ "$COMP_CWORD" == 1 ]]; then
    ${offering(first)}
  else case "\${COMP_WORDS[1]}:$previous:$current" in
${[...values, ...rest].join('\n')}
  esac; fi
  COMPREPLY=($(compgen -W "$values" -- "$current"))
}
complete -o default -F _meshvip meshvip
`
}

const quoted = (text: string): string => `'${text.replaceAll(/[\\']/g, '\\$&')}'`

/** What must follow an option: nothing, one of its choices, a file, or what nobody can tell. */
const fishValue = ({ required, flags, argChoices }: Option): string => {
  if (!required) return ''
  if (argChoices !== undefined) return ` -x -a ${quoted(argChoices.join(' '))}`
  return /<(FILE|PATH)>/.test(flags) ? ' -r' : ' -x'
}

const fishOption = (condition: string, option: Option): string => {
  const names = flagsOf(option).map((flag) => (flag.startsWith('--') ? ` -l ${flag.slice(2)}` : ` -s ${flag.slice(1)}`))
  return `complete -c meshvip -n ${condition}${names.join('')}${fishValue(option)} -d ${quoted(option.description)}`
}

const fish = (program: Command): string => {
  const none = '__fish_use_subcommand'
  const lines = [
    ...program
      .createHelp()
      .visibleOptions(program)
      .map((option) => fishOption(none, option)),
    ...offersOf(program).flatMap(({ name, description, options, arguments: choices }) => {
      const seen = quoted(`__fish_seen_subcommand_from ${name}`)
      return [
        `complete -c meshvip -n ${none} -f -a ${name} -d ${quoted(description)}`,
        ...options.map((option) => fishOption(seen, option)),
        ...(choices.length === 0 ? [] : [`complete -c meshvip -n ${seen} -f -a ${quoted(choices.join(' '))}`]),
      ]
    }),
  ]
  return `${lines.join('\n')}\n`
}

/** The script of each shell that completes what the program defines: commands, options, and the choices of both. */
export const completionScripts = {
  bash,
  zsh: (program: Command): string => `autoload -Uz compinit bashcompinit && compinit && bashcompinit\n${bash(program)}`,
  fish,
}

export type Shell = keyof typeof completionScripts
