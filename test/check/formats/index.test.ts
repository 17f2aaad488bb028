import t from 'tap'
import { formatNames, formats } from '../../../src/check/formats/index.ts'
import { formatText } from '../../../src/check/formats/text.ts'
import { hostileReport, issue, report } from '../../support/check-reports.ts'

const docsURL = 'https://docs.example/rules'

t.test('text has colours on a terminal, and no other format knows of one', async (t) => {
  const one = report({ issues: [issue()] })
  t.strictSame(formatNames, ['text', 'json', 'sarif', 'junit', 'github'])
  for (const name of formatNames) {
    const [shown, piped] = [true, false].map((isTerminal) => formats[name](one, { isTerminal, docsURL }))
    t.equal(shown !== piped, name === 'text', name)
  }
  for (const isTerminal of [true, false])
    t.equal(formats.text(one, { isTerminal, docsURL }), formatText(one, isTerminal))
})

t.test('each ends its last line, and only once', async (t) => {
  for (const name of formatNames)
    t.match(formats[name](hostileReport, { isTerminal: false, docsURL }), /[^\n]\n$/, name)
})
