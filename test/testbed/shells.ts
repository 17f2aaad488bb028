import { configurationKinds } from '../../src/registration/registrar.ts'
import { configurationName } from '../../src/registration/webhook-configurations.ts'

/** What the chart makes of the configurations (test/chart/rendering.test.ts holds it to that): the objects, and nothing in them. */
export const shells = configurationKinds.map((kind) => ({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind,
  metadata: { name: configurationName },
}))
