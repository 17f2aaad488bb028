import t from 'tap'
import type { Outcome } from '../../src/rules/judge.ts'
import { causeText, denialMessage, findingText, shownName, warningText, warningTexts } from '../../src/rules/message.ts'
import { listed } from '../../src/rules/wording.ts'

const outcome = (overrides: Partial<Outcome> = {}): Outcome => ({
  rule: 'service-port-80',
  action: 'deny',
  field: 'spec.ports[0].port',
  about: '80',
  problem: 'port 80 is wrong',
  reason: 'it fails',
  fix: 'use another',
  ...overrides,
})

const url = 'https://docs.example.com/rules'

t.equal(
  findingText(outcome(), url),
  'spec.ports[0].port: port 80 is wrong: it fails. Fix: use another [service-port-80] https://docs.example.com/rules/service-port-80',
  'a finding is one line: where, what, why, what to type, the rule, the link',
)

t.equal(
  warningText(outcome({ note: 'it was so before' })),
  'spec.ports[0].port: port 80 is wrong: it fails (it was so before). Fix: use another [service-port-80]',
  'a warning says why it is no more than that',
)

await t.test(
  'a warning has 256 characters at most, and gives up the reason first, the fix next, the rule never',
  async (t) => {
    const reason = 'r'.repeat(200)
    t.equal(
      warningText(outcome({ reason })),
      'spec.ports[0].port: port 80 is wrong. Fix: use another [service-port-80]',
    )
    const long = warningText(outcome({ reason, fix: 'f'.repeat(300) }))
    t.equal(long.length, 256)
    t.match(long, /^spec\.ports\[0\]\.port: port 80 is wrong\. Fix: f+\.\.\. \[service-port-80\]$/)
    for (let length = 90; length < 300; length++) {
      const text = warningText(outcome({ reason: 'r'.repeat(length) }))
      t.ok(text.length <= 256 && text.endsWith('Fix: use another [service-port-80]'))
    }
  },
)

t.equal(
  findingText(outcome({ problem: 'host "a\u001b[31m\nb\u00e9\u{1f600}"' }), url),
  'spec.ports[0].port: host "a\\u{1b}[31m\\u{a}b\\u{e9}\\u{d83d}\\u{de00}": it fails. Fix: use another [service-port-80] https://docs.example.com/rules/service-port-80',
  'what users wrote cannot break the line or speak to the terminal',
)

t.ok(findingText(outcome({ problem: 'x'.repeat(5000) }), url).length < 1100, 'a finding has a bounded length')

await t.test('a denial', async (t) => {
  t.equal(
    denialMessage(
      'Service shop/orders',
      { outcomes: [outcome(), outcome({ action: 'warn' })], isVirtualHost: true, inferred: true },
      url,
    ),
    [
      'Service shop/orders is refused for one reason:',
      `- ${findingText(outcome(), url)}`,
      'It counts as a virtual host, since it is a ClusterIP Service without selector in a namespace of the mesh. If it is none, label it meshvip.dev/virtual-host: "false".',
    ].join('\n'),
    'lists what is denied, and how to say that a Service is no virtual host',
  )
  const many = Array.from({ length: 23 }, (_, index) => outcome({ about: String(index) }))
  const lines = denialMessage(
    'Service shop/orders',
    { outcomes: many, isVirtualHost: false, inferred: false },
    url,
  ).split('\n')
  t.equal(lines[0], 'Service shop/orders is refused for 23 reasons:')
  t.equal(lines.length, 22)
  t.equal(lines.at(-1), '- and 3 more', 'lists twenty, and counts the rest')
  t.match(
    denialMessage('a', { outcomes: many.slice(0, 21), isVirtualHost: false, inferred: false }, url),
    /\n- and 1 more$/,
    'be it one',
  )
})

await t.test('warnings are no more than the API server takes, and the rest is counted', async (t) => {
  const warnings = (count: number) => warningTexts(Array.from({ length: count }, () => outcome({ action: 'warn' })))
  t.equal(warnings(3).length, 3)
  const many = warnings(1000)
  t.ok(many.join('').length <= 4096)
  t.equal(many.at(-1), `and ${1000 - (many.length - 1)} more findings`)
  t.strictSame(warningTexts([outcome()]), [], 'a denial is no warning')
  const sized = (length: number): Outcome => {
    const shortest = warningText(outcome({ problem: '' })).length
    return outcome({ action: 'warn', problem: 'p'.repeat(length - shortest) })
  }
  const room = 4096 - 'and 1000000 more findings'.length
  const filled = (last: number) => warningTexts([...Array.from({ length: 15 }, () => sized(256)), sized(last)])
  t.equal(filled(room - 15 * 256).join('').length, room, 'to the last character')
  t.equal(filled(room - 15 * 256 + 1).at(-1), 'and 1 more findings')
})

t.equal(shownName('n'.repeat(300)), 'n'.repeat(300), 'a name is shown in full')
t.equal(shownName('n'.repeat(301)), `${'n'.repeat(297)}...`, 'as long as it can be one')

t.equal(
  causeText(outcome({ problem: 'host "a\u001b[31m"' })),
  'host "a\\u{1b}[31m". Fix: use another',
  'what programs are told is printable, too',
)

t.equal(listed([9, 80, 10]), '9, 10, 80', 'ports are listed in their order')
t.equal(listed(Array.from({ length: 10 }, (_, index) => index + 1)), '1, 2, 3, 4, 5, 6, 7, 8, 9, 10', 'ten of them')
t.equal(
  listed(Array.from({ length: 12 }, (_, index) => index + 1)),
  '1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...',
  'and not all of them',
)
