import { rules } from './index.ts'
import type { Policy } from './policy.ts'
import type { Rule } from './rule.ts'

/** A rule as `meshvip rules` shows it, with what a configuration does for its findings. */
export type RuleDescription = Pick<Rule<never>, 'id' | 'kinds' | 'finds' | 'why' | 'defaults'> & {
  actions: Rule<never>['defaults']
  page: string
}

export const describeRules = ({ actions, docsURL }: Policy): RuleDescription[] =>
  rules.map(({ id, kinds, finds, why, defaults }) => ({
    id,
    kinds,
    finds,
    why,
    defaults,
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
