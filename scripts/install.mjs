// placeholder until the build recipes land
