import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { type AddressInfo, createServer } from 'node:net'
import t, { type Test } from 'tap'
import { makeServingCertificate } from '../src/certificates/self-made.ts'
import { run } from '../src/cli.ts'
import { runHere } from './support/command-line.ts'
import { withEnvironment } from './support/environment.ts'
import { startFakeApiServer } from './support/fake-api-server.ts'
import { postOverTls } from './support/https.ts'
import { startMeshvip } from './support/meshvip-process.ts'
import { meshNamespace, service } from './support/objects.ts'
import { patchIn, requestFor, responseIn, reviewOf } from './support/reviews.ts'

const anyPort = ['--listen', '127.0.0.1:0']

const review = JSON.stringify(reviewOf(requestFor(service('orders'))))

const written = (address: string) => ({
  patchType: 'JSONPatch',
  operations: [{ op: 'add', path: '/spec/externalIPs', value: [address] }],
})

t.test('it says what it is', async (t) => {
  t.strictSame(await runHere('--version'), { code: 0, out: '0.1.0\n', err: '' })
  const help = await runHere('serve', '--help')
  t.match(help, { code: 0, err: '' })
  for (const option of [
    '--standalone [DIR]',
    '--kubeconfig <FILE>',
    '--listen <HOST:PORT>',
    '--config <FILE>',
    '--webhook-service <NAME[:PORT]>',
    '--webhook-url <URL>',
    '--tls-secret <NAME>',
    '--self-managed-certificates',
    '--client-ca <FILE>',
    '--client-name <NAME>',
  ]) {
    t.ok(help.out.includes(`  ${option} `), option)
  }
})

t.test('what cannot work is one sentence and exit code 2', async (t) => {
  const host = process.env.KUBERNETES_SERVICE_HOST
  delete process.env.KUBERNETES_SERVICE_HOST
  t.teardown(() => {
    if (host !== undefined) process.env.KUBERNETES_SERVICE_HOST = host
  })
  const folder = t.testdir({ 'bad.yaml': 'pools: 1\n', manifests: { 'bad.yaml': 'kind: [' } })
  const cases: [args: string[], err: string | RegExp][] = [
    [['frobnicate'], "error: unknown command 'frobnicate'\n"],
    [['serve', '--frobnicate'], "error: unknown option '--frobnicate'\n"],
    [
      ['serve', '--listen', '8443'],
      "error: option '--listen <HOST:PORT>' argument '8443' is invalid. write it as HOST:PORT, such as 127.0.0.1:8443.\n",
    ],
    ...['-1', '601', '5s', '9999'].map((drain): [string[], RegExp] => [
      ['serve', '--standalone', '--drain', drain],
      /^error: option '--drain <SECONDS>' argument '.*' is invalid\. write a number of seconds, 600 at most\.\n$/,
    ]),
    [['serve'], 'meshvip: this is no pod of a cluster: say --kubeconfig FILE, or --standalone to run without one\n'],
    [
      ['serve', '--standalone', '--kubeconfig', 'x'],
      'meshvip: --standalone and --kubeconfig exclude each other: the cluster is either in memory or live\n',
    ],
    [
      ['serve', '--standalone', '--tls-cert', 'x'],
      'meshvip: --tls-cert and --tls-key belong together: give both, or neither for a self-made certificate\n',
    ],
    [
      ['serve', '--standalone', '--tls-key', 'x'],
      'meshvip: --tls-cert and --tls-key belong together: give both, or neither for a self-made certificate\n',
    ],
    [
      [
        'serve',
        '--standalone',
        ...anyPort,
        '--metrics-listen',
        ':0',
        '--tls-cert',
        `${folder}/a`,
        '--tls-key',
        `${folder}/b`,
      ],
      /^meshvip: cannot read --tls-cert \S+\/a: ENOENT[^\n]*\n$/,
    ],
    [['serve', '--kubeconfig', `${folder}/none`], /^meshvip: cannot read the kubeconfig \S+\/none: ENOENT[^\n]*\n$/],
    [
      ['serve', '--standalone', '--config', `${folder}/bad.yaml`],
      /^meshvip: \S+\/bad\.yaml:1:8: pools: must be array\n$/,
    ],
    ...['', 'Webhook', 'webhook:', 'webhook:0', 'webhook:65536', 'webhook:https', 'a:1:2', 'a/b'].map(
      (text): [string[], string] => [
        ['serve', '--tls-secret', 'x', '--webhook-service', text],
        `error: option '--webhook-service <NAME[:PORT]>' argument '${text}' is invalid. write the name of a Service, or NAME:PORT.\n`,
      ],
    ),
    ...[
      '',
      'webhook',
      'http://webhook:8443',
      'https://',
      'https://webhook:8443/validate',
      'https://webhook:8443?x=1',
      'https://webhook:8443#x',
      'https://somebody@webhook:8443',
      'https://webhook:65536',
    ].map((text): [string[], string] => [
      ['serve', '--tls-secret', 'x', '--webhook-url', text],
      `error: option '--webhook-url <URL>' argument '${text}' is invalid. write it as https://HOST:PORT.\n`,
    ]),
    [
      ['serve', '--webhook-service', 'x', '--tls-secret', '../x'],
      "error: option '--tls-secret <NAME>' argument '../x' is invalid. write the name of an object.\n",
    ],
    ...[
      ['--webhook-service', 'x'],
      ['--webhook-url', 'https://x'],
      ['--tls-secret', 'x'],
      ['--self-managed-certificates'],
      ['--self-managed-certificates', '--tls-secret', 'x'],
      ['--tls-secret', 'x', '--webhook-service', 'x', '--webhook-url', 'https://x'],
    ].map((flags): [string[], string] => [
      ['serve', '--kubeconfig', `${folder}/none`, ...flags],
      'meshvip: to be registered give --tls-secret, and either --webhook-service or --webhook-url: by what the API server reaches us, and where the certificate is\n',
    ]),
    ...[['--standalone'], ['--kubeconfig', `${folder}/none`, '--tls-cert', 'x', '--tls-key', 'x']].map(
      (flags): [string[], string] => [
        ['serve', '--tls-secret', 'x', '--webhook-service', 'x', ...flags],
        'meshvip: --tls-secret stands in place of --tls-cert and --tls-key, and takes a live cluster\n',
      ],
    ),
    [
      ['serve', '--standalone', '--client-name', 'x'],
      'meshvip: --client-name takes --client-ca FILE, the CA that certifies the name\n',
    ],
    [
      ['serve', '--standalone', '--client-ca', `${folder}/none`],
      /^meshvip: cannot read --client-ca \S+\/none: ENOENT[^\n]*\n$/,
    ],
    [
      ['serve', '--standalone', '--client-ca', `${folder}/bad.yaml`],
      `meshvip: --client-ca ${folder}/bad.yaml has no certificate in PEM\n`,
    ],
    [['serve', '--standalone', `${folder}/manifests`], /^meshvip: \S+\/manifests\/bad\.yaml:1:\d+: [^\n]*\n$/],
  ]
  for (const [args, err] of cases) {
    const result = await runHere(...args)
    t.strictSame({ code: result.code, out: result.out }, { code: 2, out: '' }, args.join(' '))
    t.match(result.err, err, args.join(' '))
  }
})

t.test('help tells the states of addresses', async (t) => {
  const { code, out } = await runHere('vips', '--help')
  t.equal(code, 0)
  for (const state of ['held', 'unclaimed', 'orphaned', 'duplicate', 'foreign', 'outside'])
    t.match(out, new RegExp(`^  ${state} +[a-z]`, 'm'))
})

t.test('without a kubeconfig each command says what can be done instead, by its own options', async (t) => {
  const nowhere = { KUBECONFIG: undefined, KUBERNETES_SERVICE_HOST: undefined, HOME: t.testdir({}) }
  withEnvironment(t, nowhere)
  const rows: [args: string[], instead: string][] = [
    [['vips'], 'give manifests by --filename'],
    [['check', '--live', '-'], 'check without a cluster, without --live'],
  ]
  for (const [args, instead] of rows)
    t.strictSame(
      await runHere(...args),
      {
        code: 2,
        out: '',
        err: `meshvip: there is no kubeconfig: say --kubeconfig FILE, set KUBECONFIG, or ${instead}\n`,
      },
      args.join(' '),
    )
})

t.test('who reads the output may stop before it ends, as head does', async (t) => {
  const meshvip = startMeshvip(t, ['vips', '-f', 'examples'])
  meshvip.stopReading()
  t.strictSame(await meshvip.ended(), { code: 0, signal: null })
  t.equal(meshvip.stderr, '')
})

t.test('an output that cannot be written is a failure, and no verdict', async (t) => {
  const full =
    "process.stdout.write = () => process.stdout.emit('error', Object.assign(new Error('full'), { code: 'ENOSPC' }))"
  const nodeOptions = ['--import', `data:text/javascript,${encodeURIComponent(full)}`]
  const meshvip = startMeshvip(t, ['--version'], { nodeOptions })
  t.strictSame(await meshvip.ended(), { code: 2, signal: null })
  t.equal(meshvip.stderr, 'meshvip: cannot write the output: full\n')
})

t.test('a defect is not taken for a mistake of the user', async (t) => {
  const broken = {
    out: () => {
      throw new Error('a defect')
    },
    err: () => {},
  }
  await t.rejects(run(['--version'], broken), { message: 'a defect' })
})

t.test('a taken port is one sentence', async (t) => {
  const busy = createServer().listen(0, '127.0.0.1')
  await once(busy, 'listening')
  t.teardown(() => busy.close())
  const address = `127.0.0.1:${(busy.address() as AddressInfo).port}`
  const meshvip = startMeshvip(t, ['serve', '--standalone', '--listen', address])
  t.strictSame(await meshvip.ended(), { code: 2, signal: null })
  t.equal(
    meshvip.stderr,
    `meshvip: cannot listen on ${address}: the port is taken by another process: end that one, or choose another port with --listen HOST:PORT\n`,
  )
  t.equal(meshvip.stdout, '')
})

t.test('a Node that is too old is one sentence', async (t) => {
  const versions = "Object.defineProperty(process,'versions',{value:{...process.versions,node:'20.20.2'}})"
  const meshvip = startMeshvip(t, ['--version'], {
    entry: 'bin/meshvip.js',
    nodeOptions: ['--import', `data:text/javascript,${encodeURIComponent(versions)}`],
  })
  t.strictSame(await meshvip.ended(), { code: 2, signal: null })
  t.equal(
    meshvip.stderr,
    'meshvip: Node 24 or newer is needed, and this is 20.20.2: install it, or in a checkout on Linux use "npm start" after "npm ci", which brings one along\n',
  )
  t.equal(meshvip.stdout, '')
})

t.test('standalone it greets, serves, and ends well at Ctrl-C', async (t) => {
  const probes = ['--metrics-listen', '127.0.0.1:0', '--drain', '0']
  const meshvip = startMeshvip(t, ['serve', '--standalone', ...anyPort, ...probes], { entry: 'bin/meshvip.js' })
  const [, url = ''] = await meshvip.printed(/^meshvip listens on (\S+), with a cluster in memory\./m)
  const [, ca = ''] = await meshvip.printed(/^Its CA, new at each start: (\S+)$/m)
  const { body } = await postOverTls(`${url}/mutate`, readFileSync(ca, 'utf8'), review)
  t.strictSame(patchIn(responseIn(body)), written('240.240.225.190'))
  const [, metricsURL = ''] = await meshvip.printed(/^probes and metrics: (http:\/\/127\.0\.0\.1:\d+)$/m)
  t.equal((await fetch(`${metricsURL}/readyz`)).status, 200)
  meshvip.kill('SIGINT')
  t.strictSame(await meshvip.ended(), { code: 0, signal: null })
  t.equal(meshvip.stderr, '')
  t.equal(existsSync(ca), false, 'the CA is gone')
})

/** meshvip before a cluster that tells nothing of the namespace shop until it is told to; with this certificate, or one of its own. */
const startBeforeSlowCluster = async (t: Test, given?: { cert: string; key: string }) => {
  const server = await startFakeApiServer(t)
  server.put(meshNamespace('shop'))
  const asked = Promise.withResolvers<void>()
  const release = Promise.withResolvers<undefined>()
  server.intercept = ({ path }) => {
    if (!path.startsWith('/api/v1/namespaces/shop')) return undefined
    asked.resolve()
    return release.promise
  }
  const folder = t.testdir({ kubeconfig: server.kubeconfig, 'tls.crt': given?.cert ?? '', 'tls.key': given?.key ?? '' })
  const tls = given === undefined ? [] : ['--tls-cert', `${folder}/tls.crt`, '--tls-key', `${folder}/tls.key`]
  const meshvip = startMeshvip(t, ['serve', '--kubeconfig', `${folder}/kubeconfig`, ...anyPort, ...tls])
  return { server, meshvip, asked: asked.promise, release: () => release.resolve(undefined) }
}

/** A connection that has had its answer, and which the server closes when it stops. */
const startIdleConnection = async (t: Test, url: string, ca: string) => {
  const agent = new Agent({ keepAlive: true, ca })
  t.teardown(() => agent.destroy())
  const { socket } = await postOverTls(`${url}/validate`, agent, '')
  return socket
}

t.test('asked to stop, it first answers what is under way', async (t) => {
  const { server, meshvip, asked, release } = await startBeforeSlowCluster(t)
  const [, url = '', file = ''] = await meshvip.printed(
    /^meshvip listens on (\S+); its CA, new at each start, is (\S+)$/m,
  )
  const ca = readFileSync(file, 'utf8')
  const idle = await startIdleConnection(t, url, ca)
  const answer = postOverTls(`${url}/mutate`, ca, review)
  await asked
  const stopping = once(idle, 'close')
  meshvip.kill('SIGTERM')
  await stopping
  release()
  t.strictSame(patchIn(responseIn((await answer).body)), written('240.240.225.190'))
  t.strictSame(await meshvip.ended(), { code: 0, signal: null })
  t.equal(meshvip.stderr, '')
  t.strictSame(server.claims, { '240.240.225.190': 'shop/orders' })
})

t.test('asked to stop twice, it stops at once; with a certificate of the user it has no CA to show', async (t) => {
  const { ca, ...certificate } = await makeServingCertificate(['127.0.0.1'], new Date())
  const { meshvip, asked } = await startBeforeSlowCluster(t, certificate)
  const [, url = ''] = await meshvip.printed(/^meshvip listens on (https:\/\/127\.0\.0\.1:\d+)$/m)
  const idle = await startIdleConnection(t, url, ca)
  const cutOff = t.rejects(postOverTls(`${url}/mutate`, ca, review), { code: 'ECONNRESET' })
  await asked
  const stopping = once(idle, 'close')
  meshvip.kill('SIGTERM')
  await stopping
  meshvip.kill('SIGTERM')
  t.strictSame(await meshvip.ended(), { code: null, signal: 'SIGTERM' })
  await cutOff
})
