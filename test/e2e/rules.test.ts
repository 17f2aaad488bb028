import { readRuleFixtures } from '../fixtures/rules.ts'
import { testOnCluster, withoutWebhooks } from './cluster.ts'

await testOnCluster('every rule', async (t, cluster) => {
  const { kubectl } = cluster
  const { cluster: context, rules } = await readRuleFixtures()

  for (const { id, bad, good, action, finding } of rules) {
    await t.test(`${id} says of its bad manifest what is on its page, and admits its good one`, async (t) => {
      const applied = await kubectl(['apply', '-f', context.file])
      t.equal(applied.code, 0, 'the cluster is as it was', { stderr: applied.stderr })
      const tryBad = async () => {
        const { code, stderr } = await kubectl(['apply', '-f', bad.file])
        t.equal(code, action === 'deny' ? 1 : 0, action === 'deny' ? 'it is refused' : 'it is admitted', { stderr })
        t.equal(stderr.includes('denied the request'), action === 'deny')
        t.ok(stderr.split('\n').includes(finding), 'the text is that of the page', { found: stderr, wanted: finding })
      }
      if (id === 'service-vip-missing') await withoutWebhooks(cluster, 'mutating', tryBad)
      else await tryBad()
      const { code, stderr } = await kubectl(['apply', '-f', good.file])
      t.equal(code, 0, 'the good manifest is admitted', { stderr })
      t.notMatch(stderr, id, 'the good manifest is not even warned about')
      await kubectl(['delete', '-f', good.file])
    })
  }
})
