import t from 'tap'
import type { Issue } from '../../../src/check/check.ts'
import { formatText } from '../../../src/check/formats/text.ts'

const issue: Issue = {
  severity: 'warning',
  source: 'a.yaml',
  position: { line: 12, column: 3 },
  excerpt: '  port: 80',
  length: 4,
  object: 'Service shop/a',
  rule: 'service-port-80',
  field: 'spec.ports[0].port',
  about: '80',
  problem: 'it is wrong',
  reason: 'it fails',
  fix: 'mend it',
}

const linesOf = (overrides: Partial<Issue>) =>
  formatText({ issues: [{ ...issue, ...overrides }], unreadable: [], sources: [], objects: 1, judged: 1 }, false).split(
    '\n',
  )

t.test('what is meant is marked below its line', async (t) => {
  t.strictSame(linesOf({}).slice(0, 3), [
    'a.yaml:12:3: warning: it is wrong [service-port-80]',
    ' 12 |   port: 80',
    '    |   ^^^^',
  ])
  const tabs = linesOf({ excerpt: '\t\tport: 80' })
  t.strictSame(tabs.slice(1, 3), [' 12 |   port: 80', '    |   ^^^^'])
})

t.test('a long line is cut around what is meant', async (t) => {
  const [, line = '', mark = ''] = linesOf({
    excerpt: `${'a'.repeat(500)}HERE${'b'.repeat(500)}`,
    position: { line: 1, column: 501 },
  })
  t.ok(line.length < 170)
  t.equal(line.slice(mark.indexOf('^'), mark.lastIndexOf('^') + 1), 'HERE')
})

t.test('what a terminal would obey is not written', async (t) => {
  const text = linesOf({
    source: 'a\u001b.yaml',
    problem: '\u001b[2J',
    fix: 'x\ny',
    object: 'Service \u0007/a',
    excerpt: 'a: \u001b[2J b',
    position: { line: 1, column: 8 },
    length: 1,
    note: '\u0007',
  })
  t.ok(text.every((line) => !/[^ -~]/.test(line)))
  const [, line = '', mark = ''] = text
  t.equal(
    mark.indexOf('^'),
    line.indexOf(' b') === -1 ? -1 : line.lastIndexOf('J') + 1,
    'and the mark stays where it belongs',
  )
})

t.test('the last line counts', async (t) => {
  const count = (severity: Issue['severity'], judged: number, objects: number) =>
    formatText({ issues: [{ ...issue, severity }], unreadable: [], sources: [], judged, objects }, false)
      .split('\n')
      .at(-2)
  t.equal(count('error', 1, 1), '1 error, 0 warnings in 1 Service or VirtualService (1 object)')
  t.equal(count('note', 2, 3), '0 errors, 0 warnings, 1 note in 2 Services and VirtualServices (3 objects)')
})
