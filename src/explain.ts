import { type ManifestRule, manifestRules } from './check/manifest-rules.ts'
import examples from './examples.json' with { type: 'json' }
import { describeRules, type RuleDescription } from './rules/describe.ts'
import { rules } from './rules/index.ts'
import { defaultPolicy, type Policy } from './rules/policy.ts'

/** A manifest in which a rule finds something, what is said of that, and the manifest as it should be. */
export type Example = { bad: string; finding: string; good: string }

/** A part of a page. Its texts are Markdown. */
type Block =
  | { heading: string }
  | { text: string }
  | { rows: readonly (readonly [name: string, value: string])[] }
  | { language: 'yaml' | 'text'; code: string }

/** What there is to read of a rule. */
export type Page = { id: string; blocks: readonly Block[] }

const pageOfRule = ({ id, kinds, finds, why, defaults, actions }: RuleDescription, example: Example): Page => {
  const isRefused = defaults.virtualHost === 'deny'
  return {
    id,
    blocks: [
      { text: finds },
      {
        rows: [
          ['kind', kinds.join(', ')],
          ['virtual hosts and their VirtualServices', actions.virtualHost],
          ['others', actions.other],
        ],
      },
      { heading: 'Why' },
      { text: why },
      { heading: isRefused ? 'Refused' : 'Warned of' },
      { language: 'yaml', code: example.bad },
      { text: `The ${isRefused ? 'denial' : 'API server'} says:` },
      { language: 'text', code: example.finding },
      { heading: 'Admitted' },
      { language: 'yaml', code: example.good },
      { heading: 'To turn it down' },
      { text: 'In the configuration file, for everyone (`deny`, `warn`, `audit` or `off`):' },
      {
        language: 'yaml',
        code: `rules:\n  ${id}:\n    virtualHost: ${isRefused ? 'warn' : 'audit'}\n    other: "off"`,
      },
    ],
  }
}

const pageOfManifestRule = ({ id, finds, why, outcome }: ManifestRule, example: Example): Page => ({
  id,
  blocks: [
    { text: finds },
    { heading: 'Why' },
    { text: why },
    { heading: 'What comes of it' },
    { text: outcome },
    { heading: 'Reported' },
    { language: 'yaml', code: example.bad },
    { text: '`meshvip check` says:' },
    { language: 'text', code: example.finding },
    { heading: 'Right' },
    { language: 'yaml', code: example.good },
  ],
})

/** The pages of all rules, with what a policy does for their findings. */
export const pagesOf = (policy: Policy, examplesById: Readonly<Record<string, Example>>): Page[] => {
  // Each has one: a test makes them anew.
  const exampleOf = (id: string) => examplesById[id] as Example
  return [
    ...describeRules(policy).map((rule) => pageOfRule(rule, exampleOf(rule.id))),
    ...manifestRules.map((rule) => pageOfManifestRule(rule, exampleOf(rule.id))),
  ]
}

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

const width = 100

const shownBlock = (block: Block): string => {
  if ('heading' in block) return block.heading.toUpperCase()
  if ('rows' in block) return block.rows.map(([name, value]) => `${name}: ${value}`).join('\n')
  if ('text' in block) return wrap(block.text, width)
  const isLong = (line: string) => block.language === 'text' && line.length > width - 4
  const lines = block.code.split('\n').map((line) => (isLong(line) ? wrap(line, width - 4) : line))
  return lines.join('\n').replaceAll(/^(?=.)/gm, '    ')
}

/** The page of a rule for a terminal; undefined where there is no such rule. */
export const explain = (id: string, policy: Policy): string | undefined => {
  const page = pagesOf(policy, examples).find((one) => one.id === id)
  if (page === undefined) return undefined
  const text = [id, ...page.blocks.map(shownBlock)].join('\n\n')
  return `${text.replaceAll(`${defaultPolicy.docsURL}/`, `${policy.docsURL}/`)}\n\n${policy.docsURL}/${id}\n`
}

/** The ids of the rules that look most like what was typed. */
export const rulesLike = (text: string): string[] => {
  const words = text.split('-').filter((word) => word.length > 2)
  return [...rules, ...manifestRules].map(({ id }) => id).filter((id) => words.some((word) => id.includes(word)))
}
