import fc from 'fast-check'
import t from 'tap'
import type { Issue } from '../../../src/check/check.ts'
import { formats } from '../../../src/check/formats/index.ts'
import { hostileReport, hostileTexts, issue, report } from '../../support/check-reports.ts'

const format = (...args: Parameters<typeof report>): string[] => formats.github(report(...args)).split('\n')

const undo = (text: string): string =>
  text
    .replaceAll('%2C', ',')
    .replaceAll('%3A', ':')
    .replaceAll('%0A', '\n')
    .replaceAll('%0D', '\r')
    .replaceAll('%25', '%')

/** A command as the runner reads it: its properties end at the first `::`, and stand between commas. */
const parse = (line: string) => {
  const [, name, written = '', message = ''] = /^::(\w+) (.*?)::(.*)$/s.exec(line) ?? []
  const properties = written.split(',').map((one): [string, string] => {
    const at = one.indexOf('=')
    return [one.slice(0, at), undo(one.slice(at + 1))]
  })
  return { name, properties: Object.fromEntries(properties), message: undo(message) }
}

t.test('what is found is a command, and below them stands how much it is', async (t) => {
  t.strictSame(
    format({
      issues: [issue(), issue({ severity: 'warning', note: 'as agreed' }), issue({ severity: 'note' })],
      unreadable: [{ source: './b,c.yaml', line: 3, column: 5, problem: '100% tabs' }],
    }),
    [
      '::error file=apps/orders.yaml,line=12,col=13,endColumn=15,title=service-port-80::Service shop/orders: port 80 is that of every virtual host: hosts leak into each other. Fix: pick another, such as 3100',
      '::warning file=apps/orders.yaml,line=12,col=13,endColumn=15,title=service-port-80::Service shop/orders: port 80 is that of every virtual host: hosts leak into each other (as agreed). Fix: pick another, such as 3100',
      '::notice file=apps/orders.yaml,line=12,col=13,endColumn=15,title=service-port-80::Service shop/orders: port 80 is that of every virtual host: hosts leak into each other. Fix: pick another, such as 3100',
      '::error file=b%2Cc.yaml,line=3,col=5,title=manifest-unreadable::100%25 tabs',
      '1 error, 1 warning, 1 note, 1 document unreadable in 3 Services and VirtualServices (5 objects)',
      '',
    ],
  )
})

t.test('where nothing is found, it only says so', async (t) => {
  t.strictSame(format(), ['0 errors, 0 warnings in 3 Services and VirtualServices (5 objects)', ''])
})

t.test('what means something to the runner is escaped', async (t) => {
  const rows: [source: string, file: string][] = [
    ['a:b.yaml', 'a%3Ab.yaml'],
    ['a,line=1.yaml', 'a%2Cline=1.yaml'],
    ['a\r\nb.yaml', 'a%0D%0Ab.yaml'],
    ['100%2C.yaml', '100%252C.yaml'],
    ['::error ::x', '%3A%3Aerror %3A%3Ax'],
    ['my größe.yaml', 'my größe.yaml'],
  ]
  for (const [source, file] of rows)
    t.equal(format({ issues: [issue({ source })] })[0]?.split(',line=12')[0], `::error file=${file}`)
})

t.test('no text of a user is a command, or leaves its own', async (t) => {
  const lines = formats.github(hostileReport).split('\n')
  t.equal(lines.length, 2 * hostileTexts.length + 2)
  for (const line of lines.slice(0, -2)) t.match(line, /^::error file=.*::[ -~]+$/s)
  t.match(lines.at(-2), /^\d+ errors/)
})

t.test('the runner reads what was meant, whatever users write', async () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...hostileTexts))
  fc.assert(
    fc.property(text, text, (name, problem) => {
      const one: Issue = issue({ source: `/${name.replaceAll(/[./]/g, '')}x`, problem, rule: name })
      const lines = format({ issues: [one] })
      const { properties, message } = parse(lines[0] ?? '')
      return (
        lines.length === 3 &&
        Object.keys(properties).join() === 'file,line,col,endColumn,title' &&
        properties.file === one.source &&
        properties.title === name &&
        /^Service shop\/orders: [ -~]*: hosts leak .* 3100$/.test(message)
      )
    }),
  )
})
