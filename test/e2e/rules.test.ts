import { readRuleFixtures } from '../fixtures/rules.ts'
import { type Cluster, testOnCluster } from './cluster.ts'

const withoutMutation = async (cluster: Cluster, run: () => Promise<void>): Promise<void> => {
  const kind = 'mutatingwebhookconfiguration'
  const { stdout } = await cluster.kubectl(['get', kind, 'meshvip', '-o', 'json'])
  await cluster.kubectl(['delete', kind, 'meshvip'])
  await untilMutation(cluster, false)
  try {
    await run()
  } finally {
    const { metadata, ...configuration } = JSON.parse(stdout)
    await cluster.kubectl(['create', '-f', '-'], {
      input: JSON.stringify({ ...configuration, metadata: { name: metadata.name } }),
    })
    await untilMutation(cluster, true)
  }
}

/** The API server takes about a second to heed a change of its webhooks. */
const untilMutation = async (cluster: Cluster, active: boolean): Promise<void> => {
  const input = JSON.stringify({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'probe', namespace: 'shop' },
    spec: { ports: [{ name: 'http', port: 8080 }] },
  })
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; ) {
    const { code } = await cluster.kubectl(['create', '--dry-run=server', '-f', '-'], { input })
    if ((code === 0) === active) return
  }
  throw new Error('the API server does not heed the change of its webhooks')
}

await testOnCluster('every rule', async (t, cluster) => {
  const { kubectl } = cluster
  const { cluster: context, rules } = await readRuleFixtures()
  const applied = await kubectl(['apply', '-f', context.file])
  t.equal(applied.code, 0, applied.stderr)

  for (const { id, bad, good, finding } of rules) {
    await t.test(`${id} refuses its bad manifest with the text on its page, and admits its good one`, async (t) => {
      const refuse = async () => {
        const { code, stderr } = await kubectl(['apply', '-f', bad.file])
        t.equal(code, 1, 'the bad manifest is refused')
        t.match(stderr, 'denied the request')
        t.ok(stderr.split('\n').includes(`- ${finding}`), 'the text is that of the page', {
          found: stderr,
          wanted: finding,
        })
      }
      if (id === 'service-vip-missing') await withoutMutation(cluster, refuse)
      else await refuse()
      const { code, stderr } = await kubectl(['apply', '-f', good.file])
      t.equal(code, 0, 'the good manifest is admitted', { stderr })
      t.notMatch(stderr, id, 'the good manifest is not even warned about')
      await kubectl(['delete', '-f', good.file])
    })
  }
})
