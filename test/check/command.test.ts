import { readFileSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { type CheckFlags, parseTarget, runCheck } from '../../src/check/command.ts'
import { runHere } from '../support/command-line.ts'
import { withEnvironment } from '../support/environment.ts'
import { forbidden, startFakeApiServer } from '../support/fake-api-server.ts'

const bad = 'apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: [{name: http, port: 80}]\n'
const odd =
  'apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  selector: {a: b}\n  ports: [{name: web, port: 81}]\n'
const good = 'apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: [{name: http, port: 81}]\n'

t.test('the exit code', async (t) => {
  const at = t.testdir({ 'bad.yaml': bad, 'odd.yaml': odd, 'good.yaml': good, 'broken.yaml': 'a: [' })
  const rows: [args: string[], code: number][] = [
    [['good.yaml'], 0],
    [['bad.yaml'], 1],
    [['odd.yaml'], 0],
    [['--fail-on', 'warn', 'odd.yaml'], 1],
    [['--unlisted-namespaces', 'ignored', 'bad.yaml'], 0],
    [['broken.yaml'], 2],
    [['bad.yaml', 'broken.yaml'], 2],
    [['-n', 'shop', 'bad.yaml'], 1],
  ]
  for (const [args, code] of rows) {
    const paths = args.map((arg) => (arg.endsWith('.yaml') ? `${at}/${arg}` : arg))
    t.equal((await runHere('check', ...paths)).code, code, args.join(' '))
  }
})

t.test('a person reads it like the output of a compiler', async (t) => {
  const at = t.testdir({ 'bad.yaml': bad, 'broken.yaml': 'a: [' })
  const { out, err } = await runHere('check', `${at}/bad.yaml`, `${at}/broken.yaml`)
  t.equal(err, '')
  t.strictSame(out.replaceAll(at, '.').split('\n'), [
    './bad.yaml:5:30: error: port 80 is not for virtual hosts [service-port-80]',
    ' 5 |   ports: [{name: http, port: 80}]',
    '   |                              ^^',
    '   in:  Service default/a',
    '   why: sidecars mix the routes of every VirtualService on the mesh into port 80',
    '   fix: use another port, such as 8080, here, in match.port and in the callers',
    '',
    './broken.yaml:1:5: unreadable: Flow sequence in block collection must be sufficiently indented and end with a ] [manifest-unreadable]',
    '',
    '1 error, 0 warnings, 1 document unreadable in 1 Service or VirtualService (1 object)',
    '',
  ])
})

t.test('reports go where they are wanted', async (t) => {
  const at = t.testdir({ 'bad.yaml': bad, 'broken.yaml': 'a: [' })
  const paths = [`${at}/bad.yaml`, `${at}/broken.yaml`]
  const { out, err, code } = await runHere('check', ...paths, '-o', `text=${at}/a=b.txt`)
  t.strictSame([out, code], ['', 2])
  t.match(err, /^meshvip: \S+broken\.yaml:1:5: Flow sequence[^\n]*\n$/, 'what was not checked is told all the same')
  t.match(readFileSync(`${at}/a=b.txt`, 'utf8'), /\[service-port-80\]/)
  const unwritable = await runHere('check', ...paths, '-o', `text=${at}/none/a.txt`)
  t.match(unwritable, { code: 2, err: /^meshvip: cannot write \S+\/none\/a\.txt: ENOENT/ })
})

t.test('what users wrote does not command a terminal', async (t) => {
  const at = t.testdir({ 'a\u001b[31m.yaml': 'a: *\u009b' })
  const { err } = await runHere('check', at, '-o', 'json')
  t.equal(
    err,
    `meshvip: ${at}/a\\u{1b}[31m.yaml:1:5: the character U+009b, which no manifest has: is it a binary file?\n`,
  )
})

t.test('what cannot work is one sentence and exit code 2', async (t) => {
  const at = t.testdir({ 'bad.yaml': bad, 'config.yaml': 'pools: 1' })
  const rows: [args: string[], err: RegExp][] = [
    [['check'], /^error: missing required argument 'PATH'\n$/],
    [['check', `${at}/none`], /^meshvip: cannot read \S+none: ENOENT/],
    [['check', at, '-o', 'xml'], /write FORMAT or FORMAT=FILE, with a FORMAT of text/],
    [['check', at, '-o', 'text='], /say which file after text=/],
    [['check', at, '-o', 'text', '-o', 'text'], /^meshvip: one format only can go to the standard output/],
    [
      ['check', at, '-o', `json=${at}/a`, '-o', `sarif=${at}/./a`],
      /^meshvip: two formats are to be written to the same file\n$/,
    ],
    [['check', at, '-n', ''], /write the name of a namespace\.\n$/],
    [['check', at, '-n', 'a/b'], /write the name of a namespace\.\n$/],
    [['check', at, '--kubeconfig', 'x'], /^meshvip: --kubeconfig says which cluster --live asks: give both\n$/],
    [['check', at, '--live', '--complete'], /^meshvip: --complete and --live exclude each other/],
    [['check', at, '--config', `${at}/config.yaml`], /^meshvip: \S+config\.yaml:1:8: pools: must be array\n$/],
    [['explain', 'port-80'], /^meshvip: there is no rule port-80: there are service-port-80, /],
    [['explain', 'unreadable'], /^meshvip: there is no rule unreadable: there is manifest-unreadable\n$/],
    [['explain', 'x'], /^meshvip: there is no rule x: meshvip rules lists them\n$/],
  ]
  for (const [args, err] of rows) t.match(await runHere(...args), { code: 2, out: '', err }, args.join(' '))
})

t.test('a live cluster', async (t) => {
  const server = await startFakeApiServer(t)
  server.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default', labels: {} } })
  const at = t.testdir({ 'bad.yaml': bad, kubeconfig: server.kubeconfig })
  const live = ['check', `${at}/bad.yaml`, '--live', '--kubeconfig', `${at}/kubeconfig`]
  t.equal((await runHere(...live)).code, 0, 'its namespace is none of the mesh')
  server.put({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', labels: { 'istio-injection': 'enabled' } },
  })
  writeFileSync(`${at}/kubeconfig`, server.kubeconfig.replace('"context":{', '"context":{"namespace":"shop",'))
  t.match(await runHere(...live), { code: 1, out: 'in:  Service shop/a\n' }, "it is applied to kubectl's namespace")
  t.equal((await runHere(...live, '-n', 'default')).code, 0, 'unless another one is named')
  server.intercept = () => forbidden
  t.match(await runHere(...live), {
    code: 2,
    err: /^meshvip: cannot read the cluster http:\S+: .*403.* It takes get and list on /,
  })
})

const flags: CheckFlags = { output: [], failOn: 'deny', unlistedNamespaces: 'selected' }

const run = async (t: Test, paths: string[], isTerminal: { out: boolean; err: boolean }) => {
  let [out, err] = ['', '']
  async function* stdin() {
    yield Buffer.from(bad)
  }
  const now = performance.now.bind(performance)
  let looks = 0
  t.intercept(performance, 'now', { value: () => now() + 1_000 * looks++ })
  const code = await runCheck(paths, flags, {
    stdin: stdin(),
    isTerminal,
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
  })
  return { code, out, err }
}

t.test('on a terminal there are colours, and what takes long shows how far it has come', async (t) => {
  withEnvironment(t, { NO_COLOR: '' })
  const shown = await run(t, ['-'], { out: true, err: true })
  t.match(shown.out, '\u001b[31;1merror\u001b[0m: port 80')
  t.equal(shown.err, '\r\u001b[Kreading: 0 objects\r\u001b[K')
})

t.test('whoever wants no colours has none on a terminal either', async (t) => {
  withEnvironment(t, { NO_COLOR: '1' })
  t.notMatch((await run(t, ['-'], { out: true, err: false })).out, '\u001b')
})

t.test('elsewhere there are none', async (t) => {
  const shown = await run(t, ['-'], { out: false, err: false })
  t.notMatch(shown.out + shown.err, '\u001b')
})

t.test('a target is a format, and a file', async (t) => {
  t.strictSame(parseTarget('text'), { format: 'text' })
  t.strictSame(parseTarget('text=a=b'), { format: 'text', file: 'a=b' })
})

t.test('the rules', async (t) => {
  const at = t.testdir({ 'config.yaml': 'rules: { service-port-80: warn }\ndocsURL: https://example.com/r' })
  const config = ['--config', `${at}/config.yaml`]
  t.match((await runHere('rules')).out, /^RULE +VIRTUAL HOST +OTHER +FINDS\nservice-port-80 +deny +off +A port/)
  t.match((await runHere('rules', ...config)).out, /\nservice-port-80 +warn +warn +A port/)
  const listed = JSON.parse((await runHere('rules', '-o', 'json', ...config)).out)
  t.match(listed[0], {
    id: 'service-port-80',
    actions: { virtualHost: 'warn' },
    page: 'https://example.com/r/service-port-80',
  })
  t.match(
    (await runHere('rules', '-o', 'markdown')).out,
    /\n\| \[service-port-80\]\(https:\S+\) \| convention \| deny \| off \| A port/,
  )
  writeFileSync(`${at}/config.yaml`, 'rules: 1')
  t.equal((await runHere('rules', ...config)).code, 2)
})
