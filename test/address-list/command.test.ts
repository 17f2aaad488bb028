import { writeFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { addressesFile } from '../fixtures/addresses.ts'
import { runHere } from '../support/command-line.ts'
import { type FakeApiServer, forbidden, notFound, startFakeApiServer } from '../support/fake-api-server.ts'
import { kubeconfig } from '../support/kubeconfig.ts'
import { claim, endpointSlice, meshNamespace, service, serviceEntry } from '../support/objects.ts'
import { freePorts } from '../testbed/processes.ts'

const claimedBefore = (minutes: number, address: string, owner: string) => {
  const object = claim(address, owner)
  const creationTimestamp = new Date(Date.now() - minutes * 60_000).toISOString()
  return { ...object, metadata: { ...object.metadata, creationTimestamp } }
}

/** A live cluster, and the options that name it. */
const startCluster = async (t: Test): Promise<{ server: FakeApiServer; live: string[]; folder: string }> => {
  const server = await startFakeApiServer(t)
  server.put(meshNamespace('shop'))
  const folder = t.testdir({ kubeconfig: server.kubeconfig })
  return { server, live: ['--kubeconfig', `${folder}/kubeconfig`], folder }
}

/** The rows of the table of addresses, and the lines on standard error by their first words. */
const shown = async (...args: string[]) => {
  const { code, out, err } = await runHere('vips', ...args)
  const rows = (out.split('\n\n')[1] ?? '').trimEnd().split('\n').slice(1)
  const problems = err.split('\n').slice(0, -1)
  return {
    code,
    rows: rows.map((row) => row.split(/ {3,}/).join(' | ')),
    problems: problems.map((line) => /^meshvip: (.*? (?:is|are) \w+)/.exec(line)?.[1] ?? line),
  }
}

t.test('a live cluster', async (t) => {
  const { server, live } = await startCluster(t)
  server.put(
    service('held', { externalIPs: ['240.240.0.1'] }),
    claimedBefore(5, '240.240.0.1', 'shop/held'),
    service('bare', { externalIPs: ['240.240.0.2'] }),
    claimedBefore(5, '240.240.0.3', 'shop/just-deleted'),
    claimedBefore(60 * 3, '240.240.0.4', 'shop/gone'),
    service('one', { externalIPs: ['240.240.0.5'] }),
    service('other', { externalIPs: ['240.240.0.5'] }, { namespace: 'payments' }),
    claimedBefore(60 * 24 * 12, '240.240.0.5', 'shop/one'),
    serviceEntry('bank', ['240.240.0.6']),
    service('outside', { externalIPs: ['192.0.2.1'] }),
    service('printer', { externalIPs: ['192.0.2.2'] }),
    endpointSlice('printer-1', 'printer'),
    service('legacy', { externalIPs: ['192.0.2.3'] }, { namespace: 'none-of-the-mesh' }),
    claim('10.97.0.1', 'default/kubernetes', { 'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io' }),
  )
  t.strictSame(await shown(...live), {
    code: 1,
    rows: [
      '192.0.2.1 | <none> | shop/outside | <none> | outside',
      '240.240.0.1 | 240.240.0.0/16 | shop/held | 5m | held',
      '240.240.0.2 | 240.240.0.0/16 | shop/bare | <none> | unclaimed',
      '240.240.0.3 | 240.240.0.0/16 | shop/just-deleted | 5m | orphaned',
      '240.240.0.4 | 240.240.0.0/16 | shop/gone | 3h | orphaned',
      '240.240.0.5 | 240.240.0.0/16 | shop/one, payments/other | 12d | duplicate',
      '240.240.0.6 | 240.240.0.0/16 | ServiceEntry shop/bank | <none> | foreign',
    ],
    problems: ['1 address is unclaimed', '1 address is orphaned', '1 address is duplicate', '1 address is outside'],
  })
  const lists = server.requests.filter(({ path }) => /\/(services|serviceentries|ipaddresses)$/.test(path))
  t.strictSame(
    lists.map(({ path }) => path.split('/').at(-1)).sort(),
    ['ipaddresses', 'serviceentries', 'services'],
    'each kind is listed once',
  )
  t.ok(
    server.requests.every(({ method }) => method === 'GET'),
    'nothing is written',
  )

  await t.test('of a namespace', async (t) => {
    const { code, rows } = await shown(...live, '-n', 'payments')
    t.strictSame(rows, ['240.240.0.5 | 240.240.0.0/16 | shop/one, payments/other | 12d | duplicate'])
    t.equal(code, 1)
    t.equal((await shown(...live, '-n', 'shop')).rows.length, 6, 'what is claimed for its Services included')
  })
  await t.test('in a state; what is not shown is not judged', async (t) => {
    t.strictSame(await shown(...live, '--state', 'held'), {
      code: 0,
      rows: ['240.240.0.1 | 240.240.0.0/16 | shop/held | 5m | held'],
      problems: [],
    })
    t.strictSame((await shown(...live, '--state', 'orphaned')).problems, ['1 address is orphaned'])
  })
  await t.test('as an object', async (t) => {
    const { out } = await runHere('vips', ...live, '-o', 'json')
    const { kind, addresses } = JSON.parse(out)
    t.strictSame([kind, addresses.length], ['AddressList', 7])
  })
})

t.test('a cluster without Istio, and with nothing in it, is all well', async (t) => {
  const { server, live } = await startCluster(t)
  server.uninstalled.add('serviceentries')
  const { code, out, err } = await runHere('vips', ...live)
  t.strictSame([code, err], [0, ''])
  t.match(out, /\n\nNo addresses found\.\n$/)
})

/** The addresses and their states, of `-o json`. */
const listed = async (...args: string[]) => {
  const { code, out, err } = await runHere('vips', '-o', 'json', ...args)
  const { addresses } = JSON.parse(out) as { addresses: { address: string; state: string }[] }
  return { code, addresses: addresses.map(({ address, state }) => `${address} ${state}`), err }
}

t.test('the configuration says what the pools are', async (t) => {
  const folder = t.testdir({ 'meshvip.yaml': 'pools: [{ cidr: 240.240.0.8/30 }]' })
  const { code, addresses, err } = await listed('-f', addressesFile, '--config', `${folder}/meshvip.yaml`)
  t.strictSame(addresses, [
    '192.0.2.7 outside',
    '240.240.0.9 unclaimed',
    '240.240.0.10 duplicate',
    // Claimed while it was of a pool.
    '240.240.130.2 orphaned',
    '240.240.225.190 outside',
  ])
  t.match(err, /^meshvip: the pool 240\.240\.0\.8\/30 is full/m)
  t.equal(code, 1)
})

t.test('manifests in place of a cluster: files and folders, several of them', async (t) => {
  const orders = service('orders', { externalIPs: ['240.240.0.1'] })
  const folder = t.testdir({
    'orders.json': JSON.stringify(orders),
    entries: { 'bank.yaml': JSON.stringify(serviceEntry('bank', ['240.240.0.2'])), 'README.md': 'no manifest' },
  })
  t.strictSame(await listed('-f', `${folder}/orders.json`, '--filename', `${folder}/entries`), {
    code: 0,
    addresses: ['240.240.0.1 unclaimed', '240.240.0.2 foreign'],
    err: '',
  })
  t.strictSame((await listed('-f', `${folder}/orders.json`)).addresses, ['240.240.0.1 unclaimed'])
})

t.test('manifests on the standard input', async (t) => {
  t.intercept(process, 'stdin', {
    value: Readable.from([JSON.stringify(service('a', { externalIPs: ['240.240.0.1'] }))]),
  })
  t.strictSame(await listed('-f', '-'), { code: 0, addresses: ['240.240.0.1 unclaimed'], err: '' })
})

t.test('manifests with claims among them show which addresses have none', async (t) => {
  const { code, err } = await listed('-f', addressesFile, '--state', 'unclaimed')
  t.equal(code, 1)
  t.match(err, /^meshvip: 1 address is unclaimed \(240\.240\.0\.9\): [^\n]*\n$/)
})

t.test('what cannot work is one sentence and exit code 2', async (t) => {
  const { server, folder } = await startCluster(t)
  const [port] = await freePorts(1)
  writeFileSync(`${folder}/gone`, kubeconfig({ server: `https://127.0.0.1:${port}` }))
  writeFileSync(`${folder}/bad.yaml`, 'kind: [')
  writeFileSync(`${folder}/pools.yaml`, 'pools: 1')
  const rows: [args: string[], err: RegExp][] = [
    [['-o', 'xml'], /^error: option '-o, --output <FORMAT>' argument 'xml' is invalid\. Allowed choices are table, /],
    [['--state', 'lost'], /^error: option '--state <STATE>' argument 'lost' is invalid\. Allowed choices are held, /],
    [['-f', 'x', '--kubeconfig', 'y'], /^meshvip: --filename and --kubeconfig exclude each other: /],
    [['-f', `${folder}/none`], /^meshvip: cannot read \S+\/none: ENOENT/],
    [['-f', `${folder}/bad.yaml`], /^meshvip: \S+\/bad\.yaml:1:\d+: /],
    [['-f', addressesFile, '--config', `${folder}/none`], /^meshvip: cannot read --config \S+\/none: ENOENT/],
    [['-f', addressesFile, '--config', `${folder}/pools.yaml`], /^meshvip: \S+pools\.yaml:1:8: pools: must be array$/],
    [['--kubeconfig', `${folder}/none`], /^meshvip: cannot read the kubeconfig \S+\/none: ENOENT/],
    [
      ['--kubeconfig', `${folder}/gone`],
      /^meshvip: cannot read the cluster \S+: GET \S+: the API server cannot be reached \(connect ECONNREFUSED \S+\)$/,
    ],
  ]
  for (const [args, err] of rows) {
    const result = await runHere('vips', ...args)
    t.strictSame([result.code, result.out], [2, ''], args.join(' '))
    t.match(result.err.replace(/\n$/, ''), err)
    t.equal(result.err.split('\n').length, 2, 'it is one line')
  }

  const message = 'serviceentries.networking.istio.io is forbidden: User "dev" cannot list resource "serviceentries"'
  server.intercept = ({ path }) =>
    path.endsWith('/serviceentries') ? { status: 403, body: { ...(forbidden.body as object), message } } : undefined
  const denied = await runHere('vips', '--kubeconfig', `${folder}/kubeconfig`)
  t.strictSame([denied.code, denied.out], [2, ''])
  t.match(denied.err, `403 ${message}. It takes list on services, serviceentries and ipaddresses, `)

  server.intercept = () => ({ status: 500, body: 'a page\nof a proxy' })
  const broken = await runHere('vips', '--kubeconfig', `${folder}/kubeconfig`)
  t.match(broken.err, /^meshvip: cannot read the cluster [^\n]*: 500 a page\S+of a proxy\n$/)

  server.intercept = ({ path }) => (path.endsWith('/ipaddresses') ? notFound : undefined)
  const old = await runHere('vips', '--kubeconfig', `${folder}/kubeconfig`)
  t.match(old, {
    code: 2,
    err: /^meshvip: cannot read the cluster \S+: GET \/apis\/networking\.k8s\.io\/v1\/ipaddresses/,
  })
})

t.test('an error that stands for several, as of both addresses of a name, is told by its code', async (t) => {
  const [port] = await freePorts(1)
  const folder = t.testdir({ kubeconfig: kubeconfig({ server: `https://localhost:${port}` }) })
  const { code, err } = await runHere('vips', '--kubeconfig', `${folder}/kubeconfig`)
  t.equal(code, 2)
  t.match(err, /the API server cannot be reached \(.*ECONNREFUSED.*\)\n$/)
})

t.test('what no API server answers is not said to be a cluster that cannot be read', async (t) => {
  const { server, live } = await startCluster(t)
  server.intercept = () => ({ status: 200, body: { items: [{ metadata: 5 }], metadata: 5 } })
  await t.rejects(runHere('vips', ...live))
})
