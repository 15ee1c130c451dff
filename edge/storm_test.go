package edge_test

const stormEnv = "GOSPER_TEST_STORM"

func stormServer() {}
