import { readFile } from 'node:fs/promises'
import t from 'tap'
import { manifestRules } from '../src/check/manifest-rules.ts'
import { rules } from '../src/rules/index.ts'
import { checked, readExamples } from './fixtures/examples.ts'
import { runHere } from './support/command-line.ts'

const examples = await readExamples()

/** Words alone: a terminal breaks lines and indents code. */
const wordsOf = (text: string): string => text.split(/\s+/).join(' ')

t.test('what is said in brackets behind a finding can be explained: the page, with its manifests', async (t) => {
  for (const { id, finds, why } of [...rules, ...manifestRules]) {
    const { code, out } = await runHere('explain', id)
    t.equal(code, 0, id)
    const page = await readFile(`docs/rules/${id}.md`, 'utf8')
    const { bad = '', finding = '', good = '' } = examples[id] ?? {}
    for (const part of [id, finds, why, bad, finding, good]) {
      t.not(part, '')
      t.ok(wordsOf(out).includes(wordsOf(part)), `${id}: the terminal has ${part.slice(0, 40)}`)
      t.ok(page.includes(part), `${id}: the page has ${part.slice(0, 40)}`)
    }
    const tooLong = out.split('\n').filter((line) => line.length > 100 && line.trim().includes(' '))
    t.strictSame(tooLong, [], 'it fits a terminal')
    t.match(out, new RegExp(`\nhttps://meshvip\\.dev/rules/${id}\n$`))
  }
})

t.test('in the terminal stands what a configuration makes of a rule', async (t) => {
  const at = t.testdir({ 'config.yaml': 'rules: { service-port-80: audit }\ndocsURL: https://example.com/r' })
  const { out } = await runHere('explain', 'service-port-80', '--config', `${at}/config.yaml`)
  t.match(out, '\nkind: convention\nvirtual hosts and their VirtualServices: audit\nothers: audit\n')
  t.match(out, '\nREFUSED\n\n    apiVersion: v1\n    kind: Service\n    metadata:\n      name: ')
  t.notMatch(out, 'meshvip.dev/rules')
  t.match(
    out,
    /\[service-port-80\]\s+https:\/\/example\.com\/r\/service-port-80\n[\s\S]*\nhttps:\/\/example\.com\/r\/service-port-80\n$/,
  )
})

t.test('a caret stays under what is meant', async (t) => {
  const { out } = await runHere('explain', 'manifest-kind')
  t.match(out, '\n     2 | kind: Virtualservice\n       |       ^^^^^^^^^^^^^^\n')
})

t.test('the manifests of what check says of manifests are bad and good', async (t) => {
  for (const { id } of manifestRules) {
    const { bad = '', good = '' } = examples[id] ?? {}
    t.match(await checked(bad), `[${id}]`)
    t.equal(await checked(good), '', id)
  }
})
