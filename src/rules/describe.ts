import { rules } from './index.ts'
import type { Policy } from './policy.ts'
import type { Rule } from './rule.ts'

/** A rule as `meshvip rules` shows it, with what a configuration does for its findings. */
export type RuleDescription = Pick<Rule<never>, 'id' | 'kinds' | 'finds' | 'why'> & {
  actions: Rule<never>['defaults']
  page: string
}

export const describeRules = ({ actions, docsURL }: Policy): RuleDescription[] =>
  rules.map(({ id, kinds, finds, why }) => ({
    id,
    kinds,
    finds,
    why,
    // Each rule has an entry.
    actions: actions.get(id) as Rule<never>['defaults'],
    page: `${docsURL}/${id}`,
  }))

/** A cell of a table in Markdown. */
export const cell = (text: string): string => text.replaceAll('|', '\\|')

/** The table of the rules, each in one way of writing it. */
export const ruleTables = {
  text: (described: readonly RuleDescription[]): string => {
    const width = Math.max(...described.map(({ id }) => id.length))
    const lines = described.map(
      ({ id, actions, finds }) =>
        `${id.padEnd(width)}  ${actions.virtualHost.padEnd(12)}  ${actions.other.padEnd(5)}  ${finds}`,
    )
    return [`${'RULE'.padEnd(width)}  VIRTUAL HOST  OTHER  FINDS`, ...lines, ''].join('\n')
  },
  json: (described: readonly RuleDescription[]): string => `${JSON.stringify(described, undefined, 2)}\n`,
  markdown: (described: readonly RuleDescription[]): string =>
    [
      '| rule | kind | virtual host | other | what it finds |',
      '| --- | --- | --- | --- | --- |',
      ...described.map(
        ({ id, kinds, actions, finds, page }) =>
          `| [${id}](${page}) | ${kinds.join(', ')} | ${actions.virtualHost} | ${actions.other} | ${cell(finds)} |`,
      ),
      '',
    ].join('\n'),
} satisfies Record<string, (described: readonly RuleDescription[]) => string>

/** Breaks a text into lines of so many characters at most. */
const wrap = (text: string, width: number): string => {
  const lines = ['']
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1) as string
    if (last !== '' && last.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`
  }
  return lines.join('\n')
}

/** What a rule finds, why that fails and what is done for it; undefined where there is no such rule. */
export const explainRule = (id: string, policy: Policy): string | undefined => {
  const rule = describeRules(policy).find((one) => one.id === id)
  if (rule === undefined) return undefined
  const { kinds, finds, why, actions, page } = rule
  return [
    `${id} (${kinds.join(', ')})`,
    wrap(finds, 100),
    `Why\n\n${wrap(why, 100)}`,
    `What is done\n\nvirtual hosts and their VirtualServices: ${actions.virtualHost}\nall others: ${actions.other}`,
    `To turn it down, in the file of --config\n\nrules:\n  ${id}: warn`,
    `Examples, refused and admitted: ${page}\n`,
  ].join('\n\n')
}

/** The ids of the rules that look most like what was typed. */
export const rulesLike = (text: string): string[] => {
  const words = text.split('-').filter((word) => word.length > 2)
  return rules.map(({ id }) => id).filter((id) => words.some((word) => id.includes(word)))
}
