import { suite } from 'uvu'
import { openStore } from '../../support/open-store.ts'
import { addStoreTests } from '../../support/store-suite.ts'

const store = suite('main/shards/sharded-store-producers')

addStoreTests(store, ['producers'], () => openStore(2))

store.run()
