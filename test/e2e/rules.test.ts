import { readRuleFixtures } from '../fixtures/rules.ts'
import { testOnCluster, withoutWebhooks } from './cluster.ts'

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
      if (id === 'service-vip-missing') await withoutWebhooks(cluster, 'mutating', refuse)
      else await refuse()
      const { code, stderr } = await kubectl(['apply', '-f', good.file])
      t.equal(code, 0, 'the good manifest is admitted', { stderr })
      t.notMatch(stderr, id, 'the good manifest is not even warned about')
      await kubectl(['delete', '-f', good.file])
    })
  }
})
